// Carries one client's request to an upstream and the answer back.
//
// The Relay lives as long as the request, also while that waits for a slot: it notices a client that goes away. Each
// attempt() opens a Call. Request bytes move as far as the Call's window allows, answer bytes count as consumed when the
// client's socket has taken them, so at most a window is held per direction.
//
// Until the head of an answer comes, the request body is kept for another attempt: in place, in the client connection's
// buffer, where it arrived whole with the head; else copied, up to 1 MiB or as much as was held beforehand. After that head the client sees what happens,
// including an answer that breaks off.
//
// The owner is told exactly once that the request is done, and may destroy the Relay from inside on_failed and on_done.
// Destroying a Relay that is not done cancels the request on both sides and tells nobody.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/call.hpp"
#include "proxy/http/exchange.hpp"

namespace trireme::proxy::http {

class Relay;

/// How a request ended.
struct RelayOutcome {
  int status = 0;                ///< of the answer that the client was given; 0 if none
  std::uint64_t bytes_up = 0;    ///< of the request body, over all attempts
  std::uint64_t bytes_down = 0;  ///< of the answer's body
  unsigned attempts = 0;
  std::optional<CallError> error;  ///< of the last attempt, if it failed
  bool client_gone = false;
  std::optional<Duration> served;  ///< Call::served() of the attempt that was answered
};

/// Who decides where a request goes.
class RelayOwner {
 public:
  /// The attempt failed before an answer came. Now or later call attempt() (if replayable()) or answer(). By default the
  /// client is given 502 or 504.
  virtual void on_failed(Relay& relay, const CallError& error);
  /// An answer begins; its headers may be changed. Only to look at the Relay, not to act on it.
  virtual void on_answer(Relay&, ResponseHead&) {}
  /// Some of the answer's body has come. Only to look at the Relay.
  virtual void on_piece(Relay&) {}
  /// The request is over. The last callback.
  virtual void on_done(Relay& relay, const RelayOutcome& outcome) = 0;

 protected:
  ~RelayOwner() = default;
};

class Relay final : private CallObserver, private ExchangeObserver {
 public:
  /// `head` is what upstreams shall see, its `body` included; hop-by-hop headers are stripped from it here. `held` are bytes
  /// of the request body that have been taken from the exchange already.
  Relay(std::unique_ptr<Exchange> exchange, RequestHead&& head, RelayOwner& owner, std::string held = {});
  ~Relay();

  /// Sends the request to an upstream. No attempt is in progress, and none has been answered.
  void attempt(Upstream& upstream);
  /// Another attempt would send the whole request.
  bool replayable() const { return replayable_; }
  /// Ends the request without, or instead of, an upstream: cancels the attempt in progress and gives the client this answer.
  /// A client that has the head of another answer already sees that broken off.
  void answer(int status, std::string_view content_type, std::string_view body, Headers headers = {});

  Exchange& exchange() { return *exchange_; }
  const RequestHead& head() const { return head_; }

 private:
  void on_head(ResponseHead&& head) override;
  void on_body(std::string_view data) override;
  void on_end() override;
  void on_error(CallError error) override;
  void on_window() override;
  void on_body() override;
  void on_written(std::size_t bytes) override;
  void on_gone() override;

  void pump();
  void release_body();
  void done();

  std::unique_ptr<Exchange> exchange_;
  RequestHead head_;
  RelayOwner& owner_;
  std::unique_ptr<Call> call_;
  RelayOutcome outcome_;

  std::string kept_;           ///< the body's beginning, taken from the exchange
  std::size_t kept_sent_ = 0;  ///< of kept_, in this attempt
  std::size_t in_place_ = 0;   ///< bytes that were sent and not taken: they are all of exchange_->body()
  bool end_sent_ = false;
  bool replayable_ = true;
};

}  // namespace trireme::proxy::http
