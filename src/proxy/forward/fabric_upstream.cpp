#include "proxy/forward/fabric_upstream.hpp"

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/forward/wire.hpp"

namespace trireme::proxy {

namespace {

/// Windows are given back in steps of this, so that small pieces do not cost a message each.
constexpr std::size_t window_step = defaults::stream_window / 4;

}  // namespace

class FabricCall final : public Call {
 public:
  FabricCall(FabricCalls& calls, Rank owner, const ReplicaId& replica, CallObserver& observer)
      : owner_(owner), replica_(replica), observer_(observer), calls_(&calls), number_(calls.next_++) {
    calls.calls_.emplace(number_, this);
  }

  ~FabricCall() override {
    if (calls_ == nullptr) return;
    send_message(MessageClass::bulk, MessageKind::call_cancel, write(CallCancel{number_}));
    calls_->calls_.erase(number_);
  }

  std::uint64_t number() const { return number_; }

  void begin(const http::RequestHead& head, std::string_view first, bool complete, std::uint64_t reservation) {
    const std::string_view now = first.substr(0, defaults::forward_chunk);
    held_ = first.substr(now.size());
    end_after_held_ = complete && !held_.empty();
    window_ -= now.size();
    send_message(MessageClass::bulk, MessageKind::call_open,
                 write(CallOpen{.call = number_,
                                .replica = replica_,
                                .reservation = reservation,
                                .complete = complete && held_.empty(),
                                .head = head,
                                .first = std::string(now)}));
    flush();
  }

  std::size_t window() const override {
    if (calls_ == nullptr || !held_.empty()) return 0;
    if (calls_->crowded(owner_)) {
      calls_->retry_.arm(defaults::forward_retry);
      return 0;
    }
    return std::min(window_, defaults::forward_chunk);
  }

  void send(std::string_view data) override {
    if (calls_ != nullptr) send_data(data, false);
  }
  void send_end() override {
    if (calls_ != nullptr) send_data({}, true);
  }

  void consumed(std::size_t bytes) override {
    if (calls_ == nullptr) return;
    consumed_ += bytes;
    if (consumed_ < window_step) return;
    send_message(MessageClass::control, MessageKind::call_window,
                 write(CallWindow{CallSide::ingress, number_, std::exchange(consumed_, 0)}));
  }

  std::optional<Duration> served() const override { return served_; }
  void served_in(Duration took) { served_ = took; }

  void opened_again(std::uint64_t bytes) {
    window_ += static_cast<std::size_t>(std::min<std::uint64_t>(bytes, defaults::stream_window - window_));
  }

  /// Sends what is held of the body's beginning as far as it may. True if none is left.
  bool flush() {
    while (!held_.empty()) {
      if (window_ == 0) return false;
      if (calls_->crowded(owner_)) {
        calls_->retry_.arm(defaults::forward_retry);
        return false;
      }
      const std::size_t size = std::min({held_.size(), window_, defaults::forward_chunk});
      const bool end = end_after_held_ && size == held_.size();
      send_data(std::string_view(held_).substr(0, size), end);
      held_.erase(0, size);
    }
    return true;
  }

  /// Its number means nothing any more: no message leaves, none comes in.
  void retire() {
    calls_->calls_.erase(number_);
    calls_ = nullptr;
  }

  const Rank owner_;
  const ReplicaId replica_;
  CallObserver& observer_;

 private:
  void send_data(std::string_view bytes, bool end) {
    window_ -= std::min(bytes.size(), window_);
    send_message(
        MessageClass::bulk, MessageKind::call_data,
        write(CallData{
            .side = CallSide::ingress, .call = number_, .end = end, .load = {}, .served = {}, .bytes = bytes}));
  }
  void send_message(MessageClass message_class, MessageKind kind, std::string payload) {
    calls_->transport_.send(owner_, message_class, kind, std::move(payload));
  }

  FabricCalls* calls_;  ///< nullptr once the call has ended
  std::uint64_t number_;
  std::size_t window_ = defaults::stream_window;
  std::size_t consumed_ = 0;  ///< of the answer, and not told yet
  std::string held_;          ///< the beginning of the body beyond the first message
  bool end_after_held_ = false;
  std::optional<Duration> served_;
};

std::unique_ptr<Call> FabricUpstream::open(const http::RequestHead& head, std::string_view first, bool complete,
                                           CallObserver& observer) {
  auto call = std::make_unique<FabricCall>(calls_, owner_, replica_, observer);
  if (calls_.transport_.is_lost(owner_)) {
    calls_.undeliverable_.push_back(call->number());
    calls_.failing_.arm(Duration(0));
  } else {
    call->begin(head, first, complete, reservation_);
  }
  return call;
}

FabricCalls::FabricCalls(boost::asio::io_context& io, Transport& transport, OnLoad on_load)
    : transport_(transport),
      on_load_(std::move(on_load)),
      retry_(io, [this] { tell_windows(); }),
      failing_(io, [this] { fail_undeliverable(); }) {}

FabricCalls::~FabricCalls() {
  while (!calls_.empty()) calls_.begin()->second->retire();
}

void FabricCalls::on_message(Rank from, MessageKind kind, std::string_view payload) {
  if (kind == MessageKind::call_head) {
    auto message = read_head(payload);
    FabricCall* call = message ? find(from, message->call) : nullptr;
    if (call == nullptr) return;
    on_load_(call->replica_, message->load);
    call->observer_.on_head(std::move(message->head));
  } else if (kind == MessageKind::call_data) {
    const auto message = read_data(payload, CallSide::owner);
    FabricCall* call = message ? find(from, message->call) : nullptr;
    if (call == nullptr) return;
    if (!message->bytes.empty()) {
      call->observer_.on_body(message->bytes);
      call = find(from, message->call);
    }
    if (call == nullptr || !message->end) return;
    const ReplicaId replica = call->replica_;
    call->served_in(message->served);
    call->retire();
    call->observer_.on_end();
    on_load_(replica, message->load);  // it does not count this call any more, and nor do we now
  } else if (kind == MessageKind::call_error) {
    auto message = read_failure(payload);
    FabricCall* call = message ? find(from, message->call) : nullptr;
    if (call == nullptr) return;
    const ReplicaId replica = call->replica_;
    call->retire();
    call->observer_.on_error({message->kind, std::move(message->what)});
    on_load_(replica, message->load);
  } else if (kind == MessageKind::call_window) {
    const auto message = read_window(payload, CallSide::owner);
    FabricCall* call = message ? find(from, message->call) : nullptr;
    if (call == nullptr) return;
    call->opened_again(message->bytes);
    if (call->flush()) call->observer_.on_window();
  }
}

void FabricCalls::on_rank_lost(Rank rank) {
  std::vector<std::uint64_t> theirs;
  for (const auto& [number, call] : calls_) {
    if (call->owner_ == rank) theirs.push_back(number);
  }
  for (const std::uint64_t number : theirs) {
    const auto found = calls_.find(number);
    if (found == calls_.end()) continue;
    FabricCall* call = found->second;
    call->retire();
    call->observer_.on_error({CallError::Kind::lost, "node " + std::to_string(rank) + " was lost"});
  }
}

FabricCall* FabricCalls::find(Rank from, std::uint64_t call) {
  const auto found = calls_.find(call);
  return found == calls_.end() || found->second->owner_ != from ? nullptr : found->second;
}

bool FabricCalls::crowded(Rank owner) const {
  return transport_.backlog(owner, MessageClass::bulk) > defaults::stream_window;
}

void FabricCalls::tell_windows() {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, call] : calls_) numbers.push_back(number);
  for (const std::uint64_t number : numbers) {
    const auto found = calls_.find(number);
    if (found == calls_.end()) continue;
    FabricCall* call = found->second;
    if (call->flush()) call->observer_.on_window();
  }
}

void FabricCalls::fail_undeliverable() {
  for (const std::uint64_t number : std::exchange(undeliverable_, {})) {
    const auto found = calls_.find(number);
    if (found == calls_.end()) continue;
    FabricCall* call = found->second;
    call->retire();
    call->observer_.on_error({CallError::Kind::not_delivered, "node " + std::to_string(call->owner_) + " was lost"});
  }
}

}  // namespace trireme::proxy
