#include "proxy/forward/forward_server.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "proxy/forward/wire.hpp"

namespace trireme::proxy {

class ForwardServer::Served final : public CallObserver {
 public:
  Served(ForwardServer& server, const Key& key, const ReplicaId& replica)
      : server_(server), key_(key), replica_(replica) {}
  ~Served() {
    call_.reset();
    release();
  }

  void begin(Upstream& upstream, const CallOpen& open) {
    request_complete_ = end_passed_ = open.complete;
    call_ = upstream.open(open.head, open.first, open.complete, *this);
    owed_ = open.first.size();
    give_window();
  }

  // From the ingress.

  void on_request_bytes(std::string_view bytes, bool end) {
    if (!call_ || request_complete_) return;
    upward_.append(bytes);
    request_complete_ = end;
    pass_request();
  }
  void on_opened(std::uint64_t bytes) {
    const auto more = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, defaults::stream_window));
    window_ = std::min(window_ + more, defaults::stream_window);
    if (call_) call_->consumed(more);
  }
  /// Sends of the answer what may be sent now. True if the call is over.
  bool flush() {
    while (!downward_.empty() && window_ > 0) {
      if (server_.transport_.backlog(key_.first, MessageClass::bulk) > defaults::stream_window) {
        server_.retry_.arm(defaults::forward_retry);
        return false;
      }
      const std::size_t size = std::min({downward_.size(), window_, defaults::forward_chunk});
      const bool end = answered_ && size == downward_.size();
      send_data(std::string_view(downward_).substr(0, size), end);
      downward_.erase(0, size);
      window_ -= size;
      if (end) return true;
    }
    if (!downward_.empty() || !answered_) return false;
    send_data({}, true);
    return true;
  }

  // From the replica.

  void on_head(http::ResponseHead&& head) override {
    server_.host_.on_answered(replica_, head);
    send(MessageKind::call_head,
         write(CallHead{.call = key_.second, .load = server_.host_.load(replica_), .head = std::move(head)}));
  }
  void on_body(std::string_view data) override {
    downward_.append(data);
    flush();
  }
  void on_end() override {
    call_.reset();
    answered_ = true;
    took_ = Duration(mono_now() - began_);
    server_.host_.on_served(replica_, nullptr, took_);
    release();
    if (flush()) server_.calls_.erase(key_);
  }
  void on_error(CallError error) override {
    call_.reset();
    server_.host_.on_served(replica_, &error, Duration(mono_now() - began_));
    release();
    const auto self = std::move(server_.calls_.at(key_));
    server_.calls_.erase(key_);
    server_.fail(key_.first, key_.second, replica_, std::move(error));
  }
  void on_window() override { pass_request(); }

 private:
  void pass_request() {
    while (call_ && !upward_.empty()) {
      const std::size_t size = std::min(upward_.size(), call_->window());
      if (size == 0) break;
      call_->send(std::string_view(upward_).substr(0, size));
      upward_.erase(0, size);
      owed_ += size;
    }
    give_window();
    if (call_ && upward_.empty() && request_complete_ && !std::exchange(end_passed_, true)) {
      call_->send_end();
    }
  }
  void give_window() {
    if (request_complete_ || owed_ < defaults::stream_window / 4) return;
    server_.transport_.send(key_.first, MessageClass::control, MessageKind::call_window,
                            write(CallWindow{CallSide::owner, key_.second, std::exchange(owed_, 0)}));
  }
  void release() {
    if (!std::exchange(released_, true)) server_.host_.release_slot(replica_);
  }
  void send_data(std::string_view bytes, bool end) {
    send(MessageKind::call_data, write(CallData{.side = CallSide::owner,
                                                .call = key_.second,
                                                .end = end,
                                                .load = end ? server_.host_.load(replica_) : LoadReport{},
                                                .served = end ? took_ : Duration(0),
                                                .bytes = bytes}));
  }
  void send(MessageKind kind, std::string payload) {
    server_.transport_.send(key_.first, MessageClass::bulk, kind, std::move(payload));
  }

  ForwardServer& server_;
  const Key key_;
  const ReplicaId replica_;
  const MonoTime began_ = mono_now();
  std::unique_ptr<Call> call_;
  bool released_ = false;

  // The request.
  std::string upward_;    ///< received, and the replica has not taken it
  std::size_t owed_ = 0;  ///< taken by the replica, and not told to the ingress
  bool request_complete_ = false;
  bool end_passed_ = false;

  // The answer.
  std::string downward_;  ///< received from the replica and not sent
  std::size_t window_ = defaults::stream_window;
  bool answered_ = false;
  Duration took_{0};  ///< once it is answered
};

ForwardServer::ForwardServer(boost::asio::io_context& io, Transport& transport, ForwardHost& host)
    : transport_(transport), host_(host), retry_(io, [this] { flush_all(); }) {}

ForwardServer::~ForwardServer() {
  clear();
}

void ForwardServer::clear() {
  calls_.clear();
}

void ForwardServer::on_message(Rank from, MessageKind kind, std::string_view payload) {
  if (kind == MessageKind::call_open) return open(from, payload);
  if (kind == MessageKind::call_data) {
    const auto message = read_data(payload, CallSide::ingress);
    Served* served = message ? find({from, message->call}) : nullptr;
    if (served != nullptr) served->on_request_bytes(message->bytes, message->end);
  } else if (kind == MessageKind::call_window) {
    const auto message = read_window(payload, CallSide::ingress);
    Served* served = message ? find({from, message->call}) : nullptr;
    if (served == nullptr) return;
    served->on_opened(message->bytes);
    if (served->flush()) calls_.erase({from, message->call});
  } else if (kind == MessageKind::call_cancel) {
    if (const auto message = read_cancel(payload)) calls_.erase({from, message->call});
  }
}

void ForwardServer::on_rank_lost(Rank rank) {
  std::erase_if(calls_, [&](const auto& call) { return call.first.first == rank; });
}

ForwardServer::Served* ForwardServer::find(const Key& key) {
  const auto found = calls_.find(key);
  return found == calls_.end() ? nullptr : found->second.get();
}

void ForwardServer::open(Rank from, std::string_view payload) {
  const auto message = read_open(payload);
  if (!message) return;
  if (!host_.take_slot(from, message->replica, message->reservation)) {
    return fail(from, message->call, message->replica, {CallError::Kind::refused, "the replica has no free slot"});
  }
  Upstream* upstream = host_.upstream(message->replica);
  if (upstream == nullptr) {
    host_.release_slot(message->replica);
    return fail(from, message->call, message->replica, {CallError::Kind::not_delivered, "the replica has ended"});
  }
  const Key key{from, message->call};
  auto& served = calls_[key];
  served = std::make_unique<Served>(*this, key, message->replica);
  served->begin(*upstream, *message);
}

void ForwardServer::flush_all() {
  std::erase_if(calls_, [](auto& call) { return call.second->flush(); });
}

void ForwardServer::fail(Rank to, std::uint64_t call, const ReplicaId& replica, CallError error) {
  transport_.send(
      to, MessageClass::bulk, MessageKind::call_error,
      write(CallFailure{.call = call, .load = host_.load(replica), .kind = error.kind, .what = std::move(error.what)}));
}

}  // namespace trireme::proxy
