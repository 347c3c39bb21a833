#include "native/connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace trireme::native {

namespace {

constexpr std::size_t beside_head = frames::max_payload / 2;  ///< of a body: a longer one follows its head
constexpr std::size_t gathered_most = 256u << 10;
constexpr std::size_t waiting_most = 1u << 20;             ///< beyond, requests wait before they are written
constexpr auto longest_own = std::chrono::minutes(10);     ///< the proxy's own deadline
constexpr auto longest_told = std::chrono::hours(7 * 24);  ///< to it what is longer is the same

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Connection::Connection(ClientOptions options)
    : options_([&] {
        if (options.socket.empty()) options.socket = variable("TRIREME_SOCKET");
        if (!options.token) options.token = variable("TRIREME_TOKEN");
        return std::move(options);
      }()),
      wake_(make_eventfd()),
      waiter_(options_.spin) {}

Connection::~Connection() {
  if (socket_ >= 0) ::close(socket_);
  if (wake_ >= 0) ::close(wake_);
}

// ---- Coming and going ---------------------------------------------------------------------------

bool Connection::connect(Clock::time_point until, std::string& why) {
  if (options_.socket.empty()) {
    why = "TRIREME_SOCKET is not set: this is no task of a Trireme run";
    return false;
  }
  socket_ = connect_to(options_.socket, until);
  if (socket_ < 0) {
    why = "cannot connect to the proxy of this node at " + options_.socket + ": " + std::strerror(errno);
    return false;
  }
  rings_.reset();
  in_.clear();
  out_.clear();
  sent_ = 0;
  if (greet(until, why)) return true;
  ::close(std::exchange(socket_, -1));
  return false;
}

/// Says hello and waits for welcome, with nobody else.
bool Connection::greet(Clock::time_point until, std::string& why) {
  std::string hello(frames::preface);
  frames::append_hello(hello, {.version = frames::version, .token = *options_.token});
  if (send_some(socket_, hello) != static_cast<long>(hello.size())) {
    why = std::string("the proxy of this node takes nothing: ") + std::strerror(errno);
    return false;
  }
  Waiter patient{Span(0)};
  int passed = -1;
  const auto fail = [&](std::string words) {
    if (passed >= 0) ::close(passed);
    why = std::move(words);
    return false;
  };
  for (;;) {
    frames::Frame frame;
    std::size_t consumed = 0;
    const auto parsed = frames::parse(in_.view(), frame, consumed);
    if (parsed == frames::Parsed::done) {
      const bool welcomed = welcome(frame, std::exchange(passed, -1), why);
      in_.consume(consumed);
      if (welcomed && !in_.view().empty()) {
        return fail("the proxy of this node broke the native protocol: it said more than was asked");
      }
      return welcomed;
    }
    if (parsed == frames::Parsed::bad) {
      return fail("what answers at " + options_.socket + " does not speak the native protocol");
    }
    if (patient.receive({socket_, nullptr, &passed}, in_, -1, false, until) == Waiter::Got::end) {
      return fail("the proxy of this node closed the connection at once");
    }
    if (Clock::now() >= until) return fail("the proxy of this node did not say welcome in time");
  }
}

/// The first frame of the proxy, with what was passed beside it.
bool Connection::welcome(const frames::Frame& frame, int passed, std::string& why) {
  const auto said = frames::read_welcome(frame.payload);
  const bool through_memory = said && said->version >= frames::version;
  if (through_memory) {
    rings_ = frames::Rings::attach(passed);
  } else if (passed >= 0) {
    ::close(passed);
  }
  if (frame.type != frames::Type::welcome || !said) {
    why = "the proxy of this node refuses: " + words_of(frame);
    return false;
  }
  if (through_memory && rings_ == nullptr) {
    why = "the proxy of this node passed no memory that can be used";
    return false;
  }
  window_ = said->window;
  limit_ = std::max<std::size_t>(1, said->requests);
  return true;
}

void Connection::close() {
  Lock lock(mutex_);
  closed_ = true;
  break_off(Failure::Kind::lost, "the client was closed");
  callback_added_.notify_all();
  raise_flag(wake_);
  run_callbacks(lock);
  lock.unlock();
  if (worker_.joinable()) worker_.join();
}

/// Every request has its outcome now. The reader, which may be inside the system call, closes the socket that it has.
void Connection::break_off(Failure::Kind kind, const std::string& why) {
  if (socket_ >= 0) {
    if (reading_) {
      ::shutdown(socket_, SHUT_RDWR);
    } else {
      ::close(socket_);
    }
    socket_ = -1;
  }
  while (const std::uint64_t id = requests_.any()) finish(id, Failure{kind, why});
  blocked_.clear();
  out_.clear();
  sent_ = 0;
}

// ---- Requests -----------------------------------------------------------------------------------

std::shared_ptr<Progress> Connection::submit(const Call& call, std::function<void(Outcome)> callback, bool lasting) {
  auto progress = std::make_shared<Progress>();
  const auto now = Clock::now();
  progress->due = call.deadline > Clock::time_point::max() - now ? Clock::time_point::max() : now + call.deadline;
  progress->callback = std::move(callback);
  Lock lock(mutex_);
  const auto fail = [&](Failure::Kind kind, std::string why) {
    finish(*progress, Failure{kind, std::move(why)});
    run_callbacks(lock);
    return progress;
  };
  const auto has_room = [&] {
    return closed_ || socket_ < 0 ||
           (requests_.size() < limit_ && (in_callback() || out_.size() - sent_ < waiting_most));
  };
  for (;;) {
    if (closed_) return fail(Failure::Kind::unreachable, "the client was closed");
    if (socket_ < 0) {
      // A reader of the connection before may not have noticed yet.
      if (reading_ && in_callback()) return fail(Failure::Kind::unreachable, "the connection to the proxy has ended");
      if (!wait(
              lock, [&] { return closed_ || socket_ >= 0 || !reading_; }, progress->due, nullptr)) {
        return fail(Failure::Kind::deadline, "there was no connection before the deadline");
      }
      if (closed_ || socket_ >= 0) continue;
      std::string why;
      if (!connect(std::min(progress->due, Clock::now() + options_.connect_timeout), why)) {
        return fail(Failure::Kind::unreachable, std::move(why));
      }
    }
    if (has_room()) break;
    if (in_callback()) {
      return fail(Failure::Kind::busy,
                  "the proxy takes no more than " + std::to_string(limit_) + " requests at a time");
    }
    if (!wait(lock, has_room, progress->due, nullptr)) {
      return fail(Failure::Kind::deadline, "the proxy of this node took no more requests until the deadline");
    }
  }
  if (!encode(call, *progress)) return fail(Failure::Kind::invalid, "the request fits no frame, or is no request");
  if (!lasting && !progress->rest.empty()) {
    progress->owned = progress->rest;
    progress->rest = progress->owned;
  }
  requests_.insert(progress->id, progress);
  if (progress->callback) {
    ++callbacks_;
    if (!worker_.joinable()) worker_ = std::thread([this] { work(); });
    if (callbacks_ == 1 || progress->due < callback_due_) {
      callback_due_ = std::min(callback_due_, progress->due);
      callback_added_.notify_one();
    }
  }
  pump(*progress);
  if (in_callback() || (gathering_ > 0 && out_.size() - sent_ < gathered_most)) return progress;
  send_on();
  if (sent_ < out_.size()) {
    // The proxy may wait for its answers to be taken, so who has something to send reads.
    if (!wait(
            lock, [&] { return socket_ < 0 || progress->done || sent_ == out_.size(); }, progress->due, nullptr)) {
      give_up(*progress,
              {Failure::Kind::deadline, "the proxy of this node did not take the request before the deadline"});
    }
  }
  run_callbacks(lock);
  return progress;
}

/// Appends the head, and what fits beside it, to what is to be sent. False, and nothing is changed: it is no request.
bool Connection::encode(const Call& call, Progress& progress) {
  if (call.method.size() > 0xff || call.service.size() + call.path.size() > 0xff00 || call.headers.size() > 0xff)
    return false;
  target_.assign("/services/").append(call.service);
  if (!call.path.starts_with('/')) target_ += '/';
  target_.append(call.path);
  const bool longer = call.deadline > Span(longest_own);
  const std::size_t begin = out_.size();
  const bool together = call.body.size() <= std::min<std::uint64_t>(beside_head, window_);
  const std::uint64_t id = next_;
  frames::begin_request(out_, id, together, call.body.size(), call.method, target_,
                        static_cast<std::uint16_t>(call.headers.size() + (longer ? 1 : 0)));
  for (const Header& header : call.headers) {
    if (header.name.size() > 0xff || header.value.size() > 0xffff) return out_.resize(begin), false;
    frames::put_field(out_, {header.name, header.value});
  }
  if (longer) {
    const auto told = std::chrono::duration_cast<std::chrono::seconds>(std::min<Span>(call.deadline, longest_told));
    frames::put_field(out_, {"X-Trireme-Deadline", std::to_string(told.count())});
  }
  if (together) out_.append(call.body);
  // A head that is none would end the connection for everybody.
  if (!frames::seal(out_, begin)) return false;
  if (!frames::view_request(std::string_view(out_).substr(begin + frames::header_bytes)))
    return out_.resize(begin), false;
  ++next_;
  progress.id = id;
  progress.credit = window_ - (together ? call.body.size() : 0);
  if (!together) progress.rest = call.body;
  return true;
}

/// Sends of a long body what its window allows, as far as the socket takes it.
void Connection::pump(Progress& progress) {
  while (!progress.rest.empty() && progress.credit > 0) {
    if (sent_ < out_.size()) {
      flush();
      if (socket_ < 0) return;
      if (sent_ == out_.size()) continue;  // this body may have waited for that, and have left
      if (std::find(blocked_.begin(), blocked_.end(), progress.id) == blocked_.end()) blocked_.push_back(progress.id);
      return;
    }
    const std::size_t size =
        std::min<std::uint64_t>({progress.rest.size(), progress.credit, std::uint64_t{frames::data_piece}});
    const std::string_view part = progress.rest.substr(0, size);
    progress.rest.remove_prefix(size);
    progress.credit -= size;
    std::string head;
    frames::append_header(head, frames::Type::data, progress.rest.empty(), progress.id, size);
    const long sent = send_some(wire(), head, part);
    if (sent < 0)
      return break_off(Failure::Kind::lost, std::string("the connection to the proxy broke: ") + std::strerror(errno));
    const auto gone = static_cast<std::size_t>(sent);
    if (gone < head.size()) out_.append(head, gone);
    out_.append(part.substr(std::min(part.size(), gone - std::min(gone, head.size()))));
  }
}

/// Writes what waits, as far as the socket takes it; then bodies that waited for that go on.
void Connection::flush() {
  while (socket_ >= 0) {
    if (sent_ < out_.size()) {
      const long sent = send_some(wire(), std::string_view(out_).substr(sent_));
      if (sent < 0)
        return break_off(Failure::Kind::lost,
                         std::string("the connection to the proxy broke: ") + std::strerror(errno));
      sent_ += static_cast<std::size_t>(sent);
      if (sent_ < out_.size()) return;
    }
    out_.clear();
    sent_ = 0;
    if (blocked_.empty()) return;
    for (const std::uint64_t id : std::exchange(blocked_, {})) {
      if (auto* progress = requests_.find(id)) pump(*std::shared_ptr<Progress>(*progress));
    }
    if (sent_ == out_.size() && blocked_.empty()) return;
    if (sent_ < out_.size()) return;
  }
}

/// Of any thread: what cannot leave now does as soon as who reads, and may sleep, sees that there is room.
void Connection::send_on() {
  flush();
  if (reading_ && sent_ < out_.size()) raise_flag(wake_);
}

void Connection::finish(std::uint64_t id, Outcome outcome) {
  if (const auto progress = requests_.take(id)) finish(*progress, std::move(outcome));
}

void Connection::finish(Progress& progress, Outcome outcome) {
  progress.done = true;
  progress.rest = {};
  progress.owned.clear();
  if (progress.callback) {
    if (progress.id != 0) --callbacks_;
    completed_.emplace_back(std::exchange(progress.callback, nullptr), std::move(outcome));
    return;
  }
  progress.outcome = std::move(outcome);
  if (progress.waiter != nullptr) progress.waiter->notify_one();
}

/// Nobody wants its answer any more.
void Connection::give_up(Progress& progress, Failure failure) {
  if (progress.done) return;
  const std::uint64_t id = progress.id;
  finish(id, std::move(failure));
  if (socket_ < 0) return;
  frames::append(out_, {.type = frames::Type::cancel, .end = true, .id = id, .payload = {}});
  if (!in_callback()) flush();
  if (reading_) raise_flag(wake_);  // who reads may have waited for this, and others for its place
}

Outcome Connection::get(Progress& progress) {
  Lock lock(mutex_);
  if (!wait(
          lock, [&] { return progress.done; }, progress.due, &progress)) {
    give_up(progress, {Failure::Kind::deadline, "no answer came before the deadline"});
  }
  run_callbacks(lock);
  if (std::exchange(progress.taken, true)) return Failure{Failure::Kind::invalid, "its outcome was taken before"};
  return std::move(progress.outcome);
}

bool Connection::wait_until(Progress& progress, Clock::time_point until) {
  Lock lock(mutex_);
  wait(
      lock, [&] { return progress.done; }, std::min(until, progress.due), &progress);
  look(lock, progress);
  run_callbacks(lock);
  return progress.done || Clock::now() >= progress.due;
}

bool Connection::done(Progress& progress) {
  Lock lock(mutex_);
  look(lock, progress);
  return progress.done || Clock::now() >= progress.due;
}

void Connection::cancel(Progress& progress) {
  Lock lock(mutex_);
  give_up(progress, {Failure::Kind::cancelled, "the request was cancelled"});
  run_callbacks(lock);
}

void Connection::begin_gathering() {
  Lock lock(mutex_);
  ++gathering_;
}

void Connection::end_gathering() {
  Lock lock(mutex_);
  if (--gathering_ > 0 || in_callback()) return;
  send_on();
  run_callbacks(lock);
}

}  // namespace trireme::native
