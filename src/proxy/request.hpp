// One client's request to a service, from its head to the last byte of its answer.
//
//   place ──► attempt ──► answered ──► done
//     │  ▲       │ failed, and may be tried again: elsewhere at once, on the same replica after a back-off
//     ▼  └───────┘
//   wait ──► refused (429, 503, 504) ──► done
//
// Its deadline runs from its arrival to the first byte of an answer. The Placement with the Hold that counts it as in
// flight is a member, so it ends with whichever exit is taken. Belongs to the event loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "proxy/admission/admission.hpp"
#include "proxy/front/front_door.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/relay.hpp"
#include "proxy/timer.hpp"

namespace trireme::proxy {

class Request;

// What somebody else has begun for a request, and where that came to: it goes on from there.

/// An attempt at a replica that failed before an answer came.
struct FailedAttempt {
  ReplicaId replica;
  CallError error;
};
/// Its deadline has passed.
struct PastDeadline {
  bool waited = false;  ///< for a slot; else for an answer
};
using Begun = std::variant<Placement, Refusal, FailedAttempt, PastDeadline>;

/// What a request needs of its rank's proxy.
class RequestHost {
 public:
  virtual Dispatcher& dispatcher() = 0;
  virtual const EndpointTable& table() const = 0;
  /// Sends the request to where it was placed. False if there is nobody any more.
  virtual bool attempt(http::Relay& relay, Placement& placement) = 0;
  /// A replica of this rank has begun to answer an attempt: somebody has been reached.
  virtual void on_answered(const ReplicaId& replica, const http::ResponseHead& head) = 0;
  /// An attempt at a replica of this rank has ended, and its slot is about to be released; `error` is null where it was
  /// answered.
  virtual void on_served(const ReplicaId& replica, const CallError* error, Duration took) = 0;
  /// Nobody could be reached at an attempt of this rank, or somebody was (an empty text): told to those that wait in vain.
  virtual void note_failure(ServiceIndex service, std::string_view what) = 0;
  /// What was noted last; empty where nothing was, or somebody has been reached since.
  virtual std::string_view last_failure(ServiceIndex service) const = 0;
  /// Between two pieces of a stream.
  virtual void on_piece_after(ServiceIndex service, Duration pause) = 0;
  /// The service's retry budget allows one more attempt.
  virtual bool take_retry(ServiceIndex service) = 0;
  /// Something waits, so time matters to admission.
  virtual void poke() = 0;
  /// The request is over; it may be destroyed after the present turn of the loop.
  virtual void on_done(Request& request) = 0;

 protected:
  ~RequestHost() = default;
};

class Request final : public http::Resident, private http::RelayOwner, private SlotWaiter {
 public:
  Request(http::Loop& loop, RequestHost& host, Rank self, Start&& start);
  ~Request() override;

  void start();
  /// Instead of start().
  void go_on(Begun begun);

  /// A replica works on it, or is about to.
  bool in_flight() const { return placement_.has_value(); }
  // What has become of it, once it is done.
  const Demand& demand() const { return demand_; }
  const http::RelayOutcome& outcome() const { return outcome_; }
  /// The last replica that it was sent to.
  const std::optional<ReplicaId>& replica() const { return replica_; }
  bool failed() const { return failed_; }
  MonoTime answered_at() const { return answered_at_; }  ///< 0: never
  MonoTime done_at() const { return done_at_; }
  MonoTime placed_at() const { return placed_at_; }  ///< its last attempt
  std::uint32_t retries() const { return retries_; }

  std::size_t slot = 0;  ///< where the proxy keeps it

 private:
  void on_failed(http::Relay& relay, const CallError& error) override;
  void on_answer(http::Relay& relay, http::ResponseHead& head) override;
  void on_piece(http::Relay& relay) override;
  void on_done(http::Relay& relay, const http::RelayOutcome& outcome) override;
  void on_placed(Placement placement) override;
  void on_refused(Refusal refusal) override;
  void on_deadline() override;

  void decide(Dispatcher::Decision decision, MonoTime now);
  void attempt(Placement placement, MonoTime now);
  void past_deadline(bool waited);
  std::string none_was_free(const std::string& name) const;
  void refuse(int status, std::string_view message, http::Headers headers = {});
  bool may_retry(const CallError& error) const;
  void retry(const CallError& error);
  void place_again();
  bool any_untried() const;
  void end_attempt(const CallError* error, MonoTime now);
  std::string_view id() const;

  RequestHost& host_;
  const Rank self_;
  const Affinity affinity_;
  const Demand demand_;
  const Dialect dialect_;
  HeldBytes held_;  ///< until an answer comes
  RetryKind retry_ = RetryKind::safe;
  std::optional<Ticket> ticket_;
  std::optional<Placement> placement_;  ///< of the attempt in progress
  std::vector<ReplicaId> tried_;
  std::optional<ReplicaId> replica_;
  std::uint32_t retries_ = 0;
  bool stream_;               ///< the client asked for one, or the answer is one
  std::uint32_t rounds_ = 0;  ///< in which every ready replica has failed it
  std::uint32_t seen_ = 0;    ///< attempts that their replica may have seen
  std::unique_ptr<Timer> backoff_;
  MonoTime answered_at_ = 0;
  MonoTime placed_at_ = 0;  ///< the attempt in progress, or the last
  MonoTime piece_at_ = 0;   ///< when the last piece of a stream came; 0: none has
  MonoTime done_at_ = 0;
  bool failed_ = false;
  http::RelayOutcome outcome_;
  http::Relay relay_;  ///< last: its end is the first to go, and may still call
};

}  // namespace trireme::proxy
