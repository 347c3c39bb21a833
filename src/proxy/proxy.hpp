// A rank's front door: requests of this node's tasks come in, and each finds a replica on this node, on another one, or
// at a remote endpoint (DESIGN section 7; docs/spec/http.md and docs/spec/admission.md).
//
// Everything runs on the thread of the io_context that it is given; the functions here are called on that thread too.
// Work that a call leads to may be done at the io_context's next turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/endpoint.hpp"
#include "core/messages.hpp"
#include "core/result.hpp"
#include "core/run_info.hpp"
#include "fabric/transport.hpp"
#include "proxy/dashboard/door.hpp"
#include "proxy/http/access.hpp"
#include "proxy/http/server.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme::proxy {

namespace http {
class Loop;
}

struct ProxyOptions {
  std::uint16_t port = 0;  ///< on 127.0.0.1; 0: any free one
  std::string socket;      ///< path of the unix socket, or empty for none
  /// Whose the other end of an accepted connection is; by default the kernel is asked.
  std::function<http::Peer(int descriptor)> identify;
  http::ServerLimits client_limits;           ///< how long and how much clients are waited for
  std::optional<DashboardOptions> dashboard;  ///< it is served here
};

class Proxy {
 public:
  /// Listens. `io` and `transport` outlive it.
  static Result<std::unique_ptr<Proxy>> start(boost::asio::io_context& io, Transport& transport, const RunInfo& run,
                                              ProxyOptions options);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  std::uint16_t port() const;
  /// "http://127.0.0.1:PORT".
  std::string url() const;

  /// The kinds that messages.md lists for proxies.
  void on_message(Rank from, MessageKind kind, std::string_view payload);
  void on_endpoints(EndpointEpoch epoch);
  void on_rank_lost(Rank rank);

  /// A replica of this rank shall end: it is given no new request. `done` is called once none is in flight.
  void drain(const ReplicaId& replica, std::function<void()> done);
  /// For the pages of the dashboard that are open.
  void show(const dashboard::News& news);
  /// Counters of the services where something has changed since the last call.
  std::vector<ServiceSample> take_samples();
  /// Serves the connections that have something at once, for an event loop that does not want to wait for the io_context.
  /// False: none has.
  bool poll();
  /// Before the io_context is slept in: False: something has come.
  bool lie_down();
  /// More than one HTTP client has been served lately. Those of the native protocol count microseconds, and do not count here.
  bool crowded() const;
  /// A client or another rank's proxy has been served shortly before `now`: the next microseconds may count for somebody.
  bool busy(std::chrono::steady_clock::time_point now) const;
  /// Listens no more and breaks off what is in progress. Nothing but the destructor may be called afterwards.
  void close();

 private:
  class Impl;
  Proxy(std::unique_ptr<http::Loop> loop, std::unique_ptr<Impl> impl);
  std::unique_ptr<http::Loop> loop_;  ///< outlives what lives on it
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::proxy
