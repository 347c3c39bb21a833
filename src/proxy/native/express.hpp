// Requests whose client and replica both speak frames on this node: forwarded as frames, without heads of HTTP in between.
//
//   place ──► in flight ──► answered ──► over
//     │           │ anything out of the ordinary: handed over
//     ▼           ▼
//   wait ───► a Request (request.hpp), which goes on from there
//
// A Passage is one such request. It takes the same way through admission as every other: the same Dispatcher, a slot, a Ticket
// while it waits, a Hold that counts it as in flight; health and metrics are told the same. What it does not do itself (another
// rank's replica, a refusal, a failed attempt with its retries, a deadline) is done by a Request, to which it is handed over
// with its frame as it came. Only requests that come whole in one frame, to a native service whose policy reads nothing of
// them, are taken; an answer may stream.
//
// Passages are kept for further requests, so that one costs no allocation. They are destroyed by nobody while they are in
// use: whoever ends one gives it back, from inside its own callbacks too. Belongs to the event loop.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "proxy/admission/dispatcher.hpp"
#include "proxy/metrics.hpp"
#include "proxy/native/link.hpp"
#include "proxy/native/upstream.hpp"
#include "proxy/request.hpp"

namespace trireme::proxy::native {

class Express;
class Passage;

/// The connection that a request came on.
class PassageClient {
 public:
  /// Frames to send.
  virtual std::string& out() = 0;
  virtual void send_data(std::uint64_t id, std::string_view data, bool end) = 0;
  /// It takes what it is sent.
  virtual bool has_room() const = 0;
  /// flush() of that request is called at the end of the turn, or once there is room.
  virtual void flush_later(std::uint64_t id) = 0;
  /// The passage is over: the client has let go of it when this returns.
  virtual void on_over(std::uint64_t id) = 0;
  /// The same request as an Exchange, instead of the passage, which the client has let go of when this returns.
  virtual std::unique_ptr<http::Exchange> to_exchange(std::uint64_t id, http::RequestHead& head,
                                                      std::string_view body) = 0;

 protected:
  ~PassageClient() = default;
};

/// What passages need of their rank's proxy, beside what every request does.
class ExpressHost : public RequestHost {
 public:
  /// Null where the replica is not of this rank, or does not speak the native protocol.
  virtual NativeUpstream* native_upstream(const ReplicaId& replica) = 0;
  /// A request has come for the service.
  virtual void on_request(ServiceIndex service) = 0;
  virtual void append_request_id(std::string& out) = 0;
  virtual void record(const RequestRecord& record) = 0;
  /// A Request shall go on with what has been begun.
  virtual void go_on(Start&& start, Begun begun) = 0;

 protected:
  ~ExpressHost() = default;
};

class Passage final : public LinkCall, private SlotWaiter {
 public:
  explicit Passage(Express& express) : express_(express) {}

  // From the client's connection.
  void grant(std::uint64_t bytes);
  void flush();
  /// Nothing has gone to the client since the last call, and that is what is waited for.
  bool waits_in_vain();
  /// The client has gone, or does not want it any more. It has let go of the passage.
  void gone();

 private:
  friend class Express;
  enum class Ending { answered, failed, left };
  struct Times {
    MonoTime placed = 0;
    MonoTime answered = 0;
    MonoTime piece = 0;
  };

  void begin(PassageClient& client, std::uint64_t id, std::string_view payload, const RequestView& view,
             const Demand& demand);
  void start(Placement placement, const RequestView& view, MonoTime now);
  void on_placed(Placement placement) override;
  void on_refused(Refusal refusal) override;
  bool on_frame(const Frame& frame) override;
  void on_failed(CallError error) override;
  bool answer(const ResponseView& view, bool end);
  void break_off(std::string_view words, bool cancel);
  bool deliver(std::string_view bytes, bool end);
  std::size_t pass(std::string_view bytes, bool end);
  void consumed(std::size_t bytes);
  void end_attempt(const CallError* error, MonoTime now);
  void record(Ending ending, MonoTime now);
  void over();
  void hand_over(Begun begun);
  void past_deadline();

  Express& express_;
  std::size_t index_ = 0;  ///< among those in use
  PassageClient* client_ = nullptr;
  std::uint64_t id_ = 0;  ///< the client's
  Demand demand_;
  std::string request_id_;
  std::string frame_;  ///< the payload as it came, until an answer comes
  std::optional<Ticket> ticket_;
  std::optional<Placement> placement_;
  std::optional<ReplicaId> replica_;
  std::shared_ptr<Link> link_;
  std::uint64_t link_id_ = 0;  ///< 0: not, or no longer, on the link
  Times times_;
  int status_ = 0;
  bool stream_ = false;
  std::uint64_t bytes_up_ = 0;
  std::uint64_t bytes_down_ = 0;
  std::uint64_t left_ = 0;    ///< of the answer, by what it said of its length; unknown_length: nothing
  std::string held_;          ///< of the answer, what the client's window has no room for
  std::uint64_t credit_ = 0;  ///< of the client
  std::size_t untold_ = 0;    ///< passed on, and the replica has not been told that it may send as much again
  bool complete_ = false;     ///< held_ is the rest of the answer
  bool recorded_ = false;
  bool moved_ = true;
};

class Express final : private http::Resident {
 public:
  Express(http::Loop& loop, Rank self, ExpressHost& host) : Resident(loop), self_(self), host_(host) {}
  ~Express() override = default;

  /// Null: it goes another way.
  Passage* take(const Frame& frame, const RequestView& view);
  /// The passage that take() returned, known to its client by now, sets out.
  void begin(Passage& passage, PassageClient& client, const Frame& frame, const RequestView& view);
  /// Of each service, what replicas work on.
  void add_in_flight(std::map<ServiceIndex, std::uint64_t>& counts) const;

 private:
  friend class Passage;
  void on_deadline() override;
  void give_back(Passage& passage);
  void watch(MonoTime due, MonoTime now);
  const std::string& name_of(const ReplicaId& replica);

  const Rank self_;
  ExpressHost& host_;
  Demand next_demand_;                ///< of the request that take() took
  std::optional<std::string> given_;  ///< its X-Request-Id
  std::vector<std::unique_ptr<Passage>> used_;
  std::vector<std::unique_ptr<Passage>> free_;
  MonoTime watched_ = 0;  ///< the deadline that is waited for; 0: none
  std::pair<ReplicaId, std::string> last_name_;
};

}  // namespace trireme::proxy::native
