#include "native/service_connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "native/request.hpp"

namespace trireme::native {

namespace {

constexpr std::size_t service_window = 256u << 10;
constexpr std::size_t requests_at_a_time = 1024;
constexpr std::size_t longest_body = 1u << 30;
constexpr std::size_t answer_beside_head = frames::max_payload / 2;  ///< a longer one follows its head
constexpr std::size_t kept_from = 1u << 20;    ///< new memory for so long a body costs more than its copy, …
constexpr std::size_t kept_most = 256u << 20;  ///< … so that of the last one is kept, up to this
constexpr std::size_t unsent_most = 1u << 20;  ///< of answers; beyond, nothing more is read
constexpr std::size_t crowd = 4;  ///< requests at a time, for which a wake costs less than looking for the next
constexpr auto answers_wait = std::chrono::microseconds(200);  ///< at most, for the requests that came with theirs

Response handled(Service& service, const Request& request) {
  try {
    return service.handle(request);
  } catch (const std::exception& error) {
    return {.status = 500, .headers = {}, .body = std::string(error.what()) + "\n"};
  } catch (...) {
    return {.status = 500, .headers = {}, .body = "the service failed\n"};
  }
}

}  // namespace

// ---- The crew -----------------------------------------------------------------------------------

Crew::Crew(Service& service) : service_(service) {
  for (unsigned i = 0; i < std::max(1u, service.options().threads); ++i) threads_.emplace_back([this] { work(); });
}

Crew::~Crew() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  more_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::add(std::shared_ptr<ServiceConnection> connection, Request request) {
  const std::lock_guard lock(mutex_);
  queue_.push_back({std::move(connection), std::move(request), Clock::now()});
  more_.notify_one();
}

/// Those that wait and that nobody wants any more, whose number nothing else bounds.
void Crew::drop_cancelled() {
  const std::lock_guard lock(mutex_);
  std::erase_if(queue_, [](const Item& item) { return item.request.cancelled(); });
}

/// Those that are there once there are enough, or the first has waited for long enough.
std::vector<Crew::Item> Crew::take_batch(std::unique_lock<std::mutex>& lock) {
  const std::size_t most = std::max<std::size_t>(1, service_.options().max_batch);
  more_.wait(lock, [&] { return over_ || !queue_.empty(); });
  if (queue_.size() < most && !queue_.empty() && service_.options().max_delay.count() > 0) {
    const auto until = queue_.front().came + service_.options().max_delay;
    more_.wait_until(lock, until, [&] { return over_ || queue_.size() >= most; });
  }
  std::vector<Item> batch;
  while (!queue_.empty() && batch.size() < most) {
    if (!queue_.front().request.cancelled()) batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void Crew::work() {
  const bool batches = service_.options().max_batch > 1;
  std::unique_lock lock(mutex_);
  while (!over_ || !queue_.empty()) {
    std::vector<Item> batch = take_batch(lock);
    if (batch.empty()) continue;
    lock.unlock();
    if (!batches) {
      Item& item = batch.front();
      item.connection->answer(item.request, handled(service_, item.request));
      item.connection->send_answers();
    } else {
      std::vector<Request> requests;
      requests.reserve(batch.size());
      for (Item& item : batch) requests.push_back(std::move(item.request));
      std::vector<Response> answers;
      std::string words;
      try {
        answers = service_.handle_batch(requests);
        if (answers.size() != requests.size()) words = "the service did not answer each request of a batch";
      } catch (const std::exception& error) {
        words = error.what();
      } catch (...) {
        words = "the service failed";
      }
      if (!words.empty()) answers.assign(requests.size(), {.status = 500, .headers = {}, .body = words + "\n"});
      for (std::size_t i = 0; i < requests.size(); ++i) batch[i].connection->answer(requests[i], std::move(answers[i]));
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (i == 0 || batch[i].connection != batch[i - 1].connection) batch[i].connection->send_answers();
      }
    }
    batch.clear();
    lock.lock();
  }
}

// ---- The connection -----------------------------------------------------------------------------

ServiceConnection::ServiceConnection(int socket, int wake, Service& service, Crew* crew)
    : service_(service), crew_(crew), socket_(socket), wake_(wake) {}

ServiceConnection::~ServiceConnection() {
  ::close(socket_);
  ::close(wake_);
}

void ServiceConnection::stop() {
  stopping_ = true;
  raise_flag(wake_);
}

void ServiceConnection::run() {
  Waiter waiter(service_.options().spin);
  for (;;) {
    bool to_write = false;
    bool idle = false;
    {
      const std::lock_guard lock(mutex_);
      began_ = Clock::now();
      begun_ = 0;
      bool good = true;
      do {
        good = take_frames();
        flush();  // what ends the connection, too
      } while (good && held_back_ && !broken_ && out_.size() - sent_ < unsent_most);
      if (!good || broken_) break;
      to_write = sent_ < out_.size();
      full_ = out_.size() - sent_ >= unsent_most;
      idle = requests_.empty() && !to_write;
      if (begun_ >= crowd) waiter.rest();
    }
    const bool leaving = stopping_ && idle;
    // While it is full, only room to write matters: what has come waits in the socket, or in the inbox.
    const auto got =
        full_ ? waiter.wait_for_room(wire(), wake_)
              : waiter.receive(wire(), in_, wake_, to_write, leaving ? Clock::time_point{} : Clock::time_point::max());
    if (got == Waiter::Got::end || (leaving && got == Waiter::Got::nothing)) break;
    if (got == Waiter::Got::nothing) lower_flag(wake_);
  }
  const std::lock_guard lock(mutex_);
  broken_ = true;
  ::shutdown(socket_, SHUT_RDWR);  // the descriptor is closed later: the proxy shall know now
  requests_.for_each([](std::uint64_t, const std::unique_ptr<Work>& work) { *work->cancelled = true; });
  if (crew_ != nullptr) crew_->drop_cancelled();
  over_ = true;
}

/// False: the proxy has broken the rules, or was refused.
bool ServiceConnection::take_frames() {
  if (!prefaced_) {
    if (in_.view().size() < frames::preface.size()) return true;
    if (!in_.view().starts_with(frames::preface)) return false;
    in_.consume(frames::preface.size());
    prefaced_ = true;
  }
  held_back_ = false;
  while (out_.size() - sent_ < unsent_most) {
    frames::Frame frame;
    std::size_t consumed = 0;
    const auto parsed = frames::parse(in_.view(), frame, consumed);
    if (parsed == frames::Parsed::more) return true;
    if (parsed == frames::Parsed::bad || !take(frame)) return false;
    in_.consume(consumed);
  }
  held_back_ = true;
  return true;
}

bool ServiceConnection::greet(const frames::Frame& frame) {
  const auto hello = frames::read_hello(frame.payload);
  if (frame.type != frames::Type::hello || !hello) return false;
  std::string_view words;
  if (hello->version < frames::first_version) words = "this service speaks versions 1 and 2 of the native protocol";
  if (const std::string& key = service_.options().key; !key.empty() && hello->token != key) {
    words = "the key is not this service's";
  }
  if (!words.empty()) {
    frames::append_failure(out_, 0, 401, words);
    return false;
  }
  greeted_ = true;
  welcome(hello->version);
  return true;
}

/// Through memory where the proxy can, and there is some.
void ServiceConnection::welcome(std::uint16_t version) {
  frames::Welcome welcome{.version = frames::first_version, .window = service_window, .requests = requests_at_a_time};
  int descriptor = -1;
  auto rings = version >= frames::version ? frames::Rings::make(descriptor) : nullptr;
  if (rings == nullptr) return frames::append_welcome(out_, welcome);
  welcome.version = frames::version;
  std::string bytes;
  frames::append_welcome(bytes, welcome);
  broken_ = !frames::send_with_descriptor(socket_, bytes, descriptor);
  ::close(descriptor);
  rings_ = std::move(rings);
}

bool ServiceConnection::take(const frames::Frame& frame) {
  if (!greeted_) return greet(frame);
  if (frame.type == frames::Type::request) return begin(frame);
  if (frame.id == 0 || frame.id > last_) return false;
  auto* const found = requests_.find(frame.id);
  switch (frame.type) {
    case frames::Type::data:
      return found == nullptr || go_on(frame);
    case frames::Type::window: {
      const auto bytes = frames::read_window(frame.payload);
      if (!bytes) return false;
      if (found == nullptr) return true;
      (*found)->credit += *bytes;
      pump(frame.id, **found);
      return true;
    }
    case frames::Type::cancel:
      if (found == nullptr) return true;
      *requests_.take(frame.id)->cancelled = true;
      if (crew_ != nullptr) crew_->drop_cancelled();
      return true;
    default:
      return false;
  }
}

bool ServiceConnection::begin(const frames::Frame& frame) {
  const auto view = frames::view_request(frame.payload);
  if (frame.id <= last_ || !view || requests_.size() >= requests_at_a_time) return false;
  last_ = frame.id;
  ++begun_;
  if (frame.end && crew_ == nullptr) {
    Request request;
    request.method_ = view->method;
    request.target_ = view->target;
    request.fields_ = view->headers.bytes();
    request.field_count_ = view->headers.count();
    request.body_ = view->body;
    respond(frame.id, handled(service_, request), service_window);
    if (Clock::now() - began_ > answers_wait) {
      flush();  // whoever has his answer shall not wait for slow ones
      began_ = Clock::now();
    }
    return true;
  }
  auto work = std::make_unique<Work>();
  work->cancelled = std::make_shared<std::atomic<bool>>(false);
  work->credit = service_window;
  work->request.id_ = frame.id;
  work->request.own_ = std::make_unique<Request::Shared>();
  Request::Shared& own = *work->request.own_;
  own.cancelled = work->cancelled;
  own.head.assign(frame.payload.substr(0, frame.payload.size() - view->body.size()));
  if (!frame.end && view->length != frames::unknown_length) {
    if (view->length > kept_from) own.body = std::move(spare_);
    own.body.clear();
    own.body.reserve(std::min<std::uint64_t>(view->length, longest_body));
  }
  own.body.append(view->body);
  work->untold = view->body.size();
  requests_.insert(frame.id, std::move(work));
  if (frame.end) arrived(frame.id);
  return true;
}

bool ServiceConnection::go_on(const frames::Frame& frame) {
  Work& work = **requests_.find(frame.id);
  if (work.request.own_ == nullptr) return false;  // it was whole
  std::string& body = work.request.own_->body;
  body.append(frame.payload);
  if (body.size() > longest_body) {
    const auto gone = requests_.take(frame.id);
    respond(frame.id, {.status = 413, .headers = {}, .body = "the body is too long\n"}, gone->credit);
    return true;
  }
  if (frame.end) {
    arrived(frame.id);
    return true;
  }
  work.untold += frame.payload.size();
  if (work.untold >= service_window / 2) frames::append_window(out_, frame.id, std::exchange(work.untold, 0));
  return true;
}

/// The request is whole: somebody handles it.
void ServiceConnection::arrived(std::uint64_t id) {
  Work& work = **requests_.find(id);
  Request request = std::move(work.request);
  const auto view = frames::view_request(request.own_->head);
  request.method_ = view->method;
  request.target_ = view->target;
  request.fields_ = view->headers.bytes();
  request.field_count_ = view->headers.count();
  request.body_ = request.own_->body;
  if (crew_ != nullptr) return crew_->add(shared_from_this(), std::move(request));
  const std::uint64_t credit = work.credit;
  Response response = handled(service_, request);
  requests_.take(id);
  keep_memory(std::move(request.own_->body));
  respond(id, std::move(response), credit);
}

void ServiceConnection::keep_memory(std::string body) {
  if (body.capacity() > std::max(kept_from, spare_.capacity()) && body.capacity() <= kept_most) {
    spare_ = std::move(body);
  }
}

void ServiceConnection::answer(Request& request, Response response) {
  const std::lock_guard lock(mutex_);
  keep_memory(std::move(request.own_->body));
  const auto work = requests_.take(request.id_);
  if (work == nullptr || broken_) return;  // it was cancelled, or whoever asked is gone
  respond(request.id_, std::move(response), work->credit);
}

void ServiceConnection::send_answers() {
  const std::lock_guard lock(mutex_);
  if (broken_) return;
  flush();
  if (sent_ < out_.size() || full_ || stopping_) raise_flag(wake_);
}

/// Writes the head, and the body as far as it may go. The request is in no table.
void ServiceConnection::respond(std::uint64_t id, Response response, std::uint64_t credit) {
  const std::size_t begin = out_.size();
  const bool together = response.body.size() <= std::min<std::uint64_t>(credit, answer_beside_head);
  bool good = response.headers.size() <= 0xff && response.status >= 200 && response.status <= 599;
  frames::begin_response(out_, id, together, response.body.size(), static_cast<std::uint16_t>(response.status),
                         static_cast<std::uint16_t>(response.headers.size()));
  for (const Header& header : response.headers) {
    good = good && header.name.size() <= 0xff && header.value.size() <= 0xffff;
    if (good) frames::put_field(out_, {header.name, header.value});
  }
  if (together && good) out_.append(response.body);
  good = good && frames::seal(out_, begin);
  // Headers that are none would end the connection for everybody.
  if (good && !response.headers.empty()) {
    good = frames::view_response(std::string_view(out_).substr(begin + frames::header_bytes)).has_value();
  }
  if (!good) {
    out_.resize(begin);
    return respond(
        id, {.status = 500, .headers = {}, .body = "the service's answer has a status or headers that are none\n"},
        credit);
  }
  if (together) return;
  auto work = std::make_unique<Work>();
  work->cancelled = std::make_shared<std::atomic<bool>>(false);
  work->credit = credit;
  work->body = std::move(response.body);
  work->rest = work->body;
  Work& waiting = *requests_.insert(id, std::move(work));
  pump(id, waiting);
}

/// Sends of a long answer what its window allows, as far as the socket takes it. It may be over then.
void ServiceConnection::pump(std::uint64_t id, Work& work) {
  while (!work.rest.empty() && work.credit > 0) {
    if (sent_ < out_.size()) {
      const long sent = send_some(wire(), std::string_view(out_).substr(sent_));
      if (sent < 0) broken_ = true;
      if (broken_) return;
      sent_ += static_cast<std::size_t>(sent);
      if (sent_ < out_.size()) {
        if (std::find(blocked_.begin(), blocked_.end(), id) == blocked_.end()) blocked_.push_back(id);
        return;
      }
      out_.clear();
      sent_ = 0;
    }
    const std::size_t size =
        std::min<std::uint64_t>({work.rest.size(), work.credit, std::uint64_t{frames::data_piece}});
    const std::string_view part = work.rest.substr(0, size);
    work.rest.remove_prefix(size);
    work.credit -= size;
    std::string head;
    frames::append_header(head, frames::Type::data, work.rest.empty(), id, size);
    const long sent = send_some(wire(), head, part);
    if (sent < 0) {
      broken_ = true;
      return;
    }
    const auto gone = static_cast<std::size_t>(sent);
    if (gone < head.size()) out_.append(head, gone);
    out_.append(part.substr(std::min(part.size(), gone - std::min(gone, head.size()))));
  }
  if (work.rest.empty() && !work.body.empty()) requests_.take(id);
}

/// Writes what waits, as far as the socket takes it; then answers that waited for that go on.
void ServiceConnection::flush() {
  while (!broken_) {
    if (sent_ < out_.size()) {
      const long sent = send_some(wire(), std::string_view(out_).substr(sent_));
      if (sent < 0) broken_ = true;
      if (sent <= 0) return;
      sent_ += static_cast<std::size_t>(sent);
      if (sent_ < out_.size()) continue;
    }
    out_.clear();
    sent_ = 0;
    if (blocked_.empty()) return;
    for (const std::uint64_t id : std::exchange(blocked_, {})) {
      if (auto* work = requests_.find(id)) pump(id, **work);
    }
    // One that waited may have found room that an earlier one had not: then the earlier one has its turn again.
    if (sent_ == out_.size() && blocked_.empty()) return;
  }
}

}  // namespace trireme::native
