// A server on this node as an Upstream: HTTP/1.1 to one address, over pooled keep-alive connections.
//
// A call takes a pooled connection or makes one; head and first body bytes leave in one write. When its answer is complete
// and the connection is clean, the connection goes back to the pool before the observer hears of it. A pooled connection that
// the server closes is dropped as soon as that shows. Where the two cross (the server closed before our request reached
// it), a repeatable request is written once more on a fresh connection, provided that nothing of an answer came, that the
// whole request is at hand, and that the connection ended at once: a server that dies while it works on a request is `lost`.
// A request that says so (`fresh`) is given no pooled connection, since a server that has closed one may have closed them all.
// It cannot be known that such a server has not seen the request, so one that is not repeatable is given only connections
// that were used a moment ago, which no server closes for being idle.
//
// What went wrong is told by the kinds of CallError: `not_delivered` when no connection came about or it took no byte of the
// request; `lost` when it ended before the answer was complete; `timeout`; `bad_response`. A server may answer before it has
// the whole request: the answer is passed on, and the connection is not used again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/call.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy::http {

/// Where a local server listens.
struct LocalAddress {
  std::uint16_t port = 0;  ///< on 127.0.0.1, where `path` is empty
  std::string path;        ///< of a unix socket
};

struct LocalUpstreamOptions {
  std::string name = "the server";  ///< begins the words of errors: "replica 1 of llama"
  Loop::Clock::duration connect_timeout;
  /// From the request's end to the answer's head; zero for none.
  Loop::Clock::duration head_timeout{0};
  Loop::Clock::duration idle_timeout;
  std::size_t max_idle;
  /// A reused connection that ends this soon had been closed before.
  Loop::Clock::duration stale;
  LocalUpstreamOptions();  ///< the runtime's defaults
};

class LocalUpstream final : public Upstream {
 public:
  LocalUpstream(Loop& loop, LocalAddress address, LocalUpstreamOptions options = {});
  /// Calls in progress go on; they need the Loop alone.
  ~LocalUpstream() override;

  std::unique_ptr<Call> open(const RequestHead& head, std::string_view first, bool complete,
                             CallObserver& observer) override;

  /// Pooled connections that wait for a call.
  std::size_t idle() const;

 private:
  friend class UpstreamConnection;
  struct Pool;
  std::shared_ptr<Pool> pool_;
};

}  // namespace trireme::proxy::http
