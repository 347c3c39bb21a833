// Requests of other ranks' clients that replicas of this rank answer: the owner side of forwarding
// (docs/spec/admission.md, "Forwarded requests").
//
// Each call holds a slot from its admission until the replica has given the last byte of its answer, or the call is
// broken off. Answer bytes go out as far as the ingress has given window and the fabric does not hold too many for it
// already; the rest, at most a window per call, is held here, because the replica is told that bytes are consumed only
// when the ingress says so. Belongs to the event loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>

#include "fabric/transport.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/call.hpp"
#include "proxy/timer.hpp"

namespace trireme::proxy {

/// What the server needs of its rank's proxy.
class ForwardHost {
 public:
  /// Takes the reserved slot, or any if `reservation` is 0 or not there any more.
  virtual bool take_slot(Rank for_rank, const ReplicaId& replica, std::uint64_t reservation) = 0;
  virtual void release_slot(const ReplicaId& replica) = 0;
  virtual LoadReport load(const ReplicaId& replica) const = 0;
  /// The replica itself; null if it is gone.
  virtual Upstream* upstream(const ReplicaId& replica) = 0;
  /// It has begun to answer an attempt.
  virtual void on_answered(const ReplicaId& replica, const http::ResponseHead& head) = 0;
  /// An attempt at it has ended, and its slot is about to be released; `error` is null where its answer is complete.
  virtual void on_served(const ReplicaId& replica, const CallError* error, Duration took) = 0;

 protected:
  ~ForwardHost() = default;
};

class ForwardServer {
 public:
  ForwardServer(boost::asio::io_context& io, Transport& transport, ForwardHost& host);
  ~ForwardServer();
  ForwardServer(const ForwardServer&) = delete;
  ForwardServer& operator=(const ForwardServer&) = delete;

  /// call_open, call_cancel, and call_data and call_window of calls of other ranks.
  void on_message(Rank from, MessageKind kind, std::string_view payload);
  void on_rank_lost(Rank rank);
  /// Breaks all calls off; their ingresses are not told.
  void clear();

 private:
  class Served;
  using Key = std::pair<Rank, std::uint64_t>;
  Served* find(const Key& key);
  void open(Rank from, std::string_view payload);
  void flush_all();
  void fail(Rank to, std::uint64_t call, const ReplicaId& replica, CallError error);

  Transport& transport_;
  ForwardHost& host_;
  Timer retry_;
  std::map<Key, std::unique_ptr<Served>> calls_;
};

}  // namespace trireme::proxy
