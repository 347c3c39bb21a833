// The ways to the replicas that this rank owns: those on its node, and remote endpoints of services that it is home of.
//
// Belongs to the event loop. Calls in progress survive the removal of their upstream.
#pragma once

#include <map>
#include <memory>

#include "proxy/call.hpp"
#include "proxy/endpoints.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/remote/curl_loop.hpp"

namespace trireme::proxy {

namespace native {
class NativeUpstream;
}

class Upstreams {
 public:
  Upstreams(Rank self, http::Loop& loop, CurlLoop& curl) : self_(self), loop_(loop), curl_(curl) {}

  /// The service has changed: makes what is new, drops what is gone or different.
  void apply(const EndpointTable& table, const Service& service);
  /// Null if it is not ours, or gone.
  Upstream* find(const ReplicaId& replica) const;
  /// The same, where it speaks the native protocol.
  native::NativeUpstream* find_native(const ReplicaId& replica) const;

 private:
  struct Way {
    ReplicaEndpoint local;
    RemoteEndpoint remote;
    std::unique_ptr<Upstream> upstream;
    native::NativeUpstream* native = nullptr;  ///< the upstream, where it is one
  };
  Rank self_;
  http::Loop& loop_;
  CurlLoop& curl_;
  std::map<ReplicaId, Way> ways_;
};

}  // namespace trireme::proxy
