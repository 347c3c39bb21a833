// Requests of this rank's clients that replicas of other ranks answer: the ingress side of forwarding
// (docs/spec/admission.md, "Forwarded requests").
//
// FabricCalls gives calls their numbers and brings messages to them; a FabricUpstream opens calls to one replica.
// Request bytes go out as far as the owner has given window and the fabric does not hold too many for the peer already;
// what a call holds itself is at most the beginning of a body that was larger than a message. Belongs to the event
// loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fabric/transport.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/call.hpp"
#include "proxy/timer.hpp"

namespace trireme::proxy {

class FabricCall;

class FabricCalls {
 public:
  using OnLoad = std::function<void(const ReplicaId&, const LoadReport&)>;
  /// `on_load` is told what owners say of their load.
  FabricCalls(boost::asio::io_context& io, Transport& transport, OnLoad on_load);
  ~FabricCalls();
  FabricCalls(const FabricCalls&) = delete;
  FabricCalls& operator=(const FabricCalls&) = delete;

  /// call_head, call_error, and call_data and call_window of calls of this rank.
  void on_message(Rank from, MessageKind kind, std::string_view payload);
  void on_rank_lost(Rank rank);

 private:
  friend class FabricCall;
  friend class FabricUpstream;
  FabricCall* find(Rank from, std::uint64_t call);
  bool crowded(Rank owner) const;
  void tell_windows();
  void fail_undeliverable();

  Transport& transport_;
  OnLoad on_load_;
  Timer retry_;
  Timer failing_;
  std::map<std::uint64_t, FabricCall*> calls_;
  std::vector<std::uint64_t> undeliverable_;  ///< opened to a lost rank; told at the next turn
  std::uint64_t next_ = 1;
};

/// A replica of another rank, for one attempt: its reservation is good once.
class FabricUpstream final : public Upstream {
 public:
  FabricUpstream(FabricCalls& calls, Rank owner, const ReplicaId& replica, std::uint64_t reservation)
      : calls_(calls), owner_(owner), replica_(replica), reservation_(reservation) {}

  std::unique_ptr<Call> open(const http::RequestHead& head, std::string_view first, bool complete,
                             CallObserver& observer) override;

 private:
  FabricCalls& calls_;
  Rank owner_;
  ReplicaId replica_;
  std::uint64_t reservation_;
};

}  // namespace trireme::proxy
