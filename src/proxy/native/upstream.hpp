// A replica on this node that speaks the native protocol, as an Upstream. Its connection (link.hpp) is made at the first request,
// and anew after it has ended. Replicas listen on a unix socket. Belongs to the event loop.
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
  /// The connection, which may have failed already: then its calls are told so at the end of the turn.
  const std::shared_ptr<Link>& link();

 private:
  http::Loop& loop_;
  const http::LocalAddress address_;
  const std::string key_;
  const std::string name_;
  std::shared_ptr<Link> link_;
};

}  // namespace trireme::proxy::native
