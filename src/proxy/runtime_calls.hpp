// What clients of this node ask under `/runtime`: taken in whole, passed to the pilot, and answered with what it says.
//
// A request is at most defaults::runtime_body long. At most defaults::runtime_requests of them, with runtime_bytes of bodies,
// are in progress at a rank; one more is refused with 429, so that a rank cannot fill the pilot's memory. Waits may be long: a
// client that goes away takes its request back. When rank 0 is lost all are answered 503. An answer is given once this rank
// knows the endpoints that were published before it, so that a client may use what it has just declared. Lives on the rank's
// event loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/ids.hpp"
#include "core/runtime_request.hpp"
#include "fabric/transport.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy {

class RuntimeCalls {
 public:
  RuntimeCalls(http::Loop& loop, Transport& transport);
  ~RuntimeCalls();
  RuntimeCalls(const RuntimeCalls&) = delete;
  RuntimeCalls& operator=(const RuntimeCalls&) = delete;

  /// A request that may be answered: its token has been checked.
  void take(std::unique_ptr<http::Exchange> exchange);
  void on_answer(std::string_view payload);
  /// This rank knows all epochs up to this one.
  void on_epoch(std::uint64_t epoch);
  void on_rank_lost(Rank rank);
  void clear();

 private:
  class Pending;
  void send(Pending& pending);
  void answer(Pending& pending, int status, std::string_view body);
  void drop(Pending& pending);
  void forget(Pending& pending);

  http::Loop& loop_;
  Transport& transport_;
  std::map<std::uint64_t, std::unique_ptr<Pending>> pending_;
  std::multimap<std::uint64_t, RuntimeAnswer> held_;  ///< by the epoch that they wait for
  std::uint64_t epoch_ = 0;
  std::uint64_t last_number_ = 0;
  std::size_t bytes_ = 0;  ///< of the bodies in progress
};

}  // namespace trireme::proxy
