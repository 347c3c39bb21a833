#include "proxy/native/express.hpp"

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/front/route.hpp"

namespace trireme::proxy::native {

namespace {

constexpr std::string_view services_path = "/services/";
constexpr std::size_t added_to_head = 512;     ///< at most, on the way: the request's number, who answered
constexpr std::size_t frame_kept = 16u << 10;  ///< bytes of memory that a passage keeps for the next request
constexpr std::size_t passages_kept = 16u << 10;

/// Not for the replica: the client's credentials, and what is for us.
bool is_ours(std::string_view name) {
  switch (name.size()) {
    case 6:
      return same_name(name, "Cookie");
    case 12:
      return same_name(name, "X-Request-Id");
    case 13:
      return same_name(name, "Authorization");
    case 18:
      return same_name(name, "X-Trireme-Priority") || same_name(name, "X-Trireme-Deadline");
    default:
      return false;
  }
}

/// What is for one hop of HTTP, and not among what frames have no place for anyway.
bool is_for_a_hop(std::string_view name) {
  return name.size() > 6 && same_name(name.substr(0, 6), "Proxy-");
}

bool is_set_anew(std::string_view name) {
  return (name.size() == 12 && same_name(name, "X-Request-Id")) ||
         (name.size() == 17 && same_name(name, "X-Trireme-Replica"));
}

/// Where a request of a native client to a service goes: its name, and the target that is left.
std::optional<Route> service_route(std::string_view target) {
  if (!target.starts_with(services_path)) return std::nullopt;
  const Route route = route_of(target);
  if (route.kind != Route::Kind::service) return std::nullopt;
  return route;
}

}  // namespace

// ---- Express ------------------------------------------------------------------------------------

Passage* Express::take(const Frame& frame, const RequestView& view) {
  if (!frame.end || (view.length != unknown_length && view.length != view.body.size())) return nullptr;
  if (view.method == "HEAD" || frame.payload.size() + added_to_head > max_payload) return nullptr;
  const auto route = service_route(view.target);
  if (!route) return nullptr;
  const Service* service = host_.table().find(route->name);
  if (service == nullptr || service->endpoint.api != ServiceApi::native ||
      needs_of(service->endpoint.policy) != Needs::nothing) {
    return nullptr;
  }
  http::Headers ours;
  Fields fields = view.headers;
  for (Field field; fields.next(field);) {
    if (is_ours(field.name)) ours.push_back({std::string(field.name), std::string(field.value)});
  }
  given_.reset();
  Wishes wishes;
  if (!ours.empty()) {
    const auto wished = wishes_of(ours);
    if (!wished) return nullptr;
    wishes = *wished;
    if (const auto given = request_id_of(ours)) given_ = *given;
  }
  const MonoTime now = mono_now();
  next_demand_ = {.service = service->endpoint.index,
                  .priority = wishes.priority,
                  .arrived = now,
                  .deadline = now + wishes.deadline.count()};
  if (free_.empty()) free_.push_back(std::make_unique<Passage>(*this));
  Passage& passage = *free_.back();
  passage.index_ = used_.size();
  used_.push_back(std::move(free_.back()));
  free_.pop_back();
  return &passage;
}

void Express::begin(Passage& passage, PassageClient& client, const Frame& frame, const RequestView& view) {
  watch(next_demand_.deadline, next_demand_.arrived);
  host_.on_request(next_demand_.service);
  passage.request_id_.clear();
  if (given_) {
    passage.request_id_ = *given_;
  } else {
    host_.append_request_id(passage.request_id_);
  }
  passage.begin(client, frame.id, frame.payload, view, next_demand_);
}

void Express::add_in_flight(std::map<ServiceIndex, std::uint64_t>& counts) const {
  for (const auto& passage : used_) {
    if (passage->placement_) ++counts[passage->demand_.service];
  }
}

void Express::watch(MonoTime due, MonoTime now) {
  if (watched_ != 0 && watched_ <= due) return;
  watched_ = due;
  set_deadline(Duration(std::max<MonoTime>(due - now, 0)));
}

void Express::on_deadline() {
  const MonoTime now = mono_now();
  MonoTime next = 0;
  watched_ = 0;
  std::vector<Passage*> due;
  for (const auto& passage : used_) {
    if (passage->times_.answered != 0) continue;
    const MonoTime deadline = passage->demand_.deadline;
    if (deadline <= now) {
      due.push_back(passage.get());
    } else if (next == 0 || deadline < next) {
      next = deadline;
    }
  }
  if (next != 0) watch(next, now);
  for (Passage* passage : due) {
    if (passage->client_ != nullptr) passage->past_deadline();  // it may have ended by what another's end led to
  }
}

void Express::give_back(Passage& passage) {
  const std::size_t index = passage.index_;
  passage.client_ = nullptr;
  auto owned = std::move(used_[index]);
  if (index + 1 < used_.size()) {
    used_[index] = std::move(used_.back());
    used_[index]->index_ = index;
  }
  used_.pop_back();
  // Kept even beyond the bound until it is out of its own functions.
  if (free_.size() >= passages_kept) free_.erase(free_.begin());
  free_.push_back(std::move(owned));
}

const std::string& Express::name_of(const ReplicaId& replica) {
  if (last_name_.second.empty() || last_name_.first != replica) last_name_ = {replica, host_.table().name(replica)};
  return last_name_.second;
}

// ---- On the way to the replica ------------------------------------------------------------------

void Passage::begin(PassageClient& client, std::uint64_t id, std::string_view payload, const RequestView& view,
                    const Demand& demand) {
  client_ = &client;
  id_ = id;
  demand_ = demand;
  if (frame_.capacity() > frame_kept && payload.size() <= frame_kept) frame_ = {};
  frame_.assign(payload);
  replica_.reset();
  times_ = {};
  status_ = 0;
  stream_ = false;
  bytes_up_ = 0;
  bytes_down_ = 0;
  held_.clear();
  credit_ = defaults::stream_window;
  untold_ = 0;
  complete_ = recorded_ = false;
  moved_ = true;
  auto decision = express_.host_.dispatcher().place(demand_, {}, *this, demand_.arrived);
  if (auto* placement = std::get_if<Placement>(&decision)) {
    start(std::move(*placement), view, demand_.arrived);
  } else if (auto* ticket = std::get_if<Ticket>(&decision)) {
    ticket_ = std::move(*ticket);
    express_.host_.poke();
  } else {
    hand_over(std::get<Refusal>(decision));
  }
}

void Passage::on_placed(Placement placement) {
  ticket_.reset();
  start(std::move(placement), *view_request(frame_), mono_now());
}

void Passage::on_refused(Refusal refusal) {
  ticket_.reset();
  hand_over(refusal);
}

void Passage::start(Placement placement, const RequestView& view, MonoTime now) {
  NativeUpstream* const upstream =
      placement.owner == express_.self_ ? express_.host_.native_upstream(placement.replica) : nullptr;
  if (upstream == nullptr) return hand_over(std::move(placement));
  replica_ = placement.replica;
  times_.placed = now;
  placement_ = std::move(placement);
  link_ = upstream->link();
  link_id_ = link_->begin(*this);
  if (link_->broken()) return;  // it says so at the end of the turn
  std::string& out = link_->out(*this);
  const Route route = *service_route(view.target);
  std::uint16_t count = 1;
  Fields fields = view.headers;
  for (Field field; fields.next(field);) count += !is_ours(field.name) && !is_for_a_hop(field.name);
  const std::size_t begin = out.size();
  // What is left of the target begins with a slash, or with its query, before which one is put.
  if (route.target.starts_with('/')) {
    begin_request(out, link_id_, true, view.body.size(), view.method, route.target, count);
  } else {
    begin_request(out, link_id_, true, view.body.size(), view.method, upstream_target(route), count);
  }
  fields = view.headers;
  for (Field field; fields.next(field);) {
    if (!is_ours(field.name) && !is_for_a_hop(field.name)) put_field(out, field);
  }
  put_field(out, {"X-Request-Id", request_id_});
  out.append(view.body);
  seal(out, begin);  // there is room for what was added: take() has seen to it
  bytes_up_ = view.body.size();
}

// ---- On the way back ----------------------------------------------------------------------------

bool Passage::on_frame(const Frame& frame) {
  switch (frame.type) {
    case Type::response: {
      const auto view = view_response(frame.payload);
      return view && times_.answered == 0 && answer(*view, frame.end);
    }
    case Type::data:
      return times_.answered != 0 && deliver(frame.payload, frame.end);
    case Type::window:
      return read_window(frame.payload).has_value();  // all of the body has been sent
    case Type::failure: {
      const auto failure = read_failure(frame.payload);
      if (!failure) return false;
      break_off(failure->words, false);
      return true;
    }
    default:
      return false;
  }
}

bool Passage::answer(const ResponseView& view, bool end) {
  const bool bodiless = view.status == 204 || view.status == 304;
  if (end && !bodiless && view.length != unknown_length && view.length != view.body.size()) {
    break_off("its answer is not as long as it said", false);
    return true;
  }
  times_.answered = mono_now();
  status_ = view.status;
  http::ResponseHead said;  // as far as it says something of the replica's health
  said.status = view.status;
  std::uint16_t count = 2;
  Fields fields = view.headers;
  for (Field field; fields.next(field);) {
    count += !is_set_anew(field.name) && !is_for_a_hop(field.name);
    if (same_name(field.name, "Retry-After")) said.headers.push_back({"Retry-After", field.value});
    if (!end && same_name(field.name, "Content-Type")) {
      stream_ = field.value.starts_with("text/event-stream") || field.value.starts_with("application/x-ndjson");
    }
  }
  express_.host_.on_answered(*replica_, said);
  std::string& out = client_->out();
  const std::size_t begin = out.size();
  const auto head = [&](bool whole) {
    begin_response(out, id_, whole, end ? view.body.size() : view.length, view.status, count);
    fields = view.headers;
    for (Field field; fields.next(field);) {
      if (!is_set_anew(field.name) && !is_for_a_hop(field.name)) put_field(out, field);
    }
    put_field(out, {"X-Trireme-Replica", express_.name_of(*replica_)});
    put_field(out, {"X-Request-Id", request_id_});
  };
  const bool whole = end && view.body.size() <= credit_;
  head(whole);
  if (whole) {
    out.append(view.body);
    if (seal(out, begin)) {
      bytes_down_ += view.body.size();
      link_->forget(link_id_, false);
      end_attempt(nullptr, times_.answered);
      record(Ending::answered, times_.answered);
      over();
      return true;
    }
    head(false);
  }
  if (!seal(out, begin)) {
    append_failure(out, id_, 502, "the head of the answer is too long");
    link_->forget(link_id_, true);
    end_attempt(nullptr, times_.answered);
    record(Ending::failed, times_.answered);
    over();
    return true;
  }
  left_ = end ? view.body.size() : view.length;
  return deliver(view.body, end);
}

/// The replica has, in words.
void Passage::break_off(std::string_view words, bool cancel) {
  link_->forget(link_id_, cancel);
  on_failed({CallError::Kind::lost, link_->name() + " broke off: " + std::string(words), CallError::Blame::some});
}

/// Bytes of the answer: to the client as far as its window allows, the rest is held. False: the replica sent more than it may.
bool Passage::deliver(std::string_view bytes, bool end) {
  if (held_.size() + untold_ + bytes.size() > defaults::stream_window) return false;
  if (left_ != unknown_length) {
    if (bytes.size() > left_ || (end && bytes.size() < left_)) {
      break_off("its answer is not as long as it said", !end);
      return true;
    }
    left_ -= bytes.size();
  }
  if (stream_) {
    const MonoTime now = mono_now();
    if (times_.piece != 0) express_.host_.on_piece_after(demand_.service, Duration(now - times_.piece));
    times_.piece = now;
  }
  bytes_down_ += bytes.size();
  complete_ = end;
  const std::size_t passed = held_.empty() ? pass(bytes, end) : 0;
  held_.append(bytes.substr(passed));
  if (end) {
    // The slot is free with the replica's last byte, whenever the client takes it.
    link_->forget(link_id_, false);
    const MonoTime now = mono_now();
    end_attempt(nullptr, now);
    record(Ending::answered, now);
    if (held_.empty()) over();
  } else {
    consumed(passed);
  }
  return true;
}

/// How much of it has gone to the client; with `end`, and all of it, the answer's end has too.
std::size_t Passage::pass(std::string_view bytes, bool end) {
  const std::size_t size = client_->has_room() ? std::min<std::uint64_t>(bytes.size(), credit_) : 0;
  const bool last = end && size == bytes.size();
  if (size == 0 && !last) return 0;
  credit_ -= size;
  moved_ = true;
  client_->send_data(id_, bytes.substr(0, size), last);
  return size;
}

void Passage::consumed(std::size_t bytes) {
  untold_ += bytes;
  if (link_id_ == 0 || link_->broken() || untold_ < defaults::stream_window / 2) return;
  append_window(link_->out(*this), link_id_, std::exchange(untold_, 0));
}

void Passage::grant(std::uint64_t bytes) {
  credit_ += bytes;
  moved_ = true;
}

void Passage::flush() {
  if (held_.empty()) return;
  const std::size_t passed = pass(held_, complete_);
  held_.erase(0, passed);
  if (complete_) {
    if (held_.empty()) over();
  } else {
    consumed(passed);
  }
}

bool Passage::waits_in_vain() {
  return !std::exchange(moved_, false) && !held_.empty();
}

// ---- Ends ---------------------------------------------------------------------------------------

void Passage::end_attempt(const CallError* error, MonoTime now) {
  link_id_ = 0;
  link_.reset();
  if (!placement_) return;
  express_.host_.on_served(placement_->replica, error, Duration(now - times_.placed));
  placement_.reset();
}

void Passage::record(Ending ending, MonoTime now) {
  if (std::exchange(recorded_, true)) return;
  constexpr int client_closed_request = 499;
  RequestRecord record;
  record.service = demand_.service;
  if (replica_) record.replica = replica_->replica;
  record.code = status_ != 0 ? status_ : client_closed_request;
  record.failed = ending == Ending::failed;
  record.duration_s = seconds(Duration(now - demand_.arrived));
  if (times_.answered != 0) record.first_byte_s = seconds(Duration(times_.answered - demand_.arrived));
  record.bytes_up = bytes_up_;
  record.bytes_down = bytes_down_;
  if (ending == Ending::answered) {
    record.parts = {.service = Duration(times_.placed - demand_.arrived), .inference = Duration(now - times_.placed)};
  }
  express_.host_.record(record);
}

void Passage::over() {
  client_->on_over(id_);
  express_.give_back(*this);
}

void Passage::gone() {
  ticket_.reset();
  if (link_id_ != 0) link_->forget(link_id_, true);
  const MonoTime now = mono_now();
  end_attempt(nullptr, now);
  record(Ending::left, now);
  express_.give_back(*this);
}

void Passage::on_failed(CallError error) {
  const MonoTime now = mono_now();
  if (times_.answered != 0) {
    append_failure(client_->out(), id_, 502, "the answer broke off");
    end_attempt(&error, now);
    record(Ending::failed, now);
    return over();
  }
  end_attempt(&error, now);
  hand_over(FailedAttempt{*replica_, std::move(error)});
}

void Passage::past_deadline() {
  ticket_.reset();
  if (link_id_ != 0) link_->forget(link_id_, true);
  const bool waited = !placement_;
  end_attempt(nullptr, mono_now());
  hand_over(PastDeadline{.waited = waited});
}

/// From here on a Request does it.
void Passage::hand_over(Begun begun) {
  auto read = read_request(frame_);
  const Route route = *service_route(read->head.target);
  std::string target = upstream_target(route);
  // The client's frames are views of frame_, which stays as it is until the passage is used again.
  auto exchange = client_->to_exchange(id_, read->head, read->body);
  http::RequestHead head = upstream_head(std::move(read->head), std::move(target), request_id_);
  Start start{.exchange = std::move(exchange),
              .head = std::move(head),
              .body = {},
              .held = {},
              .demand = demand_,
              .dialect = Dialect::openai,
              .stream = false,
              .affinity = {}};
  express_.give_back(*this);
  express_.host_.go_on(std::move(start), std::move(begun));
}

}  // namespace trireme::proxy::native
