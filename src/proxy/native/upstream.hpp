// A replica on this node that speaks the native protocol, as an Upstream: one connection that stays, on which any number of
// requests are in progress and are answered in any order (docs/spec/native.md).
//
// The connection is made at the first request, and anew after it has ended: then requests whose first byte had not been
// written are `not_delivered`, the others `lost`. None is written before the replica has said welcome, so one that a dying
// replica's socket still took a connection for is safe to repeat. Replicas listen on a unix socket. Belongs to the event loop.
#pragma once

#include <memory>
#include <string>

#include "proxy/call.hpp"
#include "proxy/http/client.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy::native {

class Link;

class NativeUpstream final : public Upstream {
 public:
  NativeUpstream(http::Loop& loop, http::LocalAddress address, std::string key, std::string name);
  /// Calls in progress go on.
  ~NativeUpstream() override;

  std::unique_ptr<Call> open(const http::RequestHead& head, std::string_view first, bool complete,
                             CallObserver& observer) override;

 private:
  http::Loop& loop_;
  const http::LocalAddress address_;
  const std::string key_;
  const std::string name_;
  std::shared_ptr<Link> link_;
};

}  // namespace trireme::proxy::native
