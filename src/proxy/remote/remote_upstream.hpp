// A remote endpoint as an Upstream: a server that is not ours, reached by URL through libcurl.
//
// HTTP/2 where the server speaks it, connections kept and reused, one transfer at a time on each, TLS verified against the system's certificates or
// the endpoint's `ca_file`. The endpoint's key comes from its environment variable or file when the upstream is made, and
// again after the endpoint has refused it with 401. It is sent as a bearer token and nowhere else; credentials of the client
// stay here. The
// environment's HTTP proxies are honoured, never for loopback. Redirects are passed on and not followed. Belongs to the
// event loop.
#pragma once

#include <memory>
#include <string>

#include "core/description.hpp"
#include "core/result.hpp"
#include "proxy/call.hpp"
#include "proxy/remote/curl_loop.hpp"

namespace trireme::proxy {

class RemoteUpstream final : public Upstream {
 public:
  struct Credential;
  /// `name` begins the words of errors: "gpt/remote-0".
  RemoteUpstream(CurlLoop& loop, const RemoteEndpoint& endpoint, ServiceApi api, std::string name);

  std::unique_ptr<Call> open(const http::RequestHead& head, std::string_view first, bool complete,
                             CallObserver& observer) override;

 private:
  CurlLoop& loop_;
  RemoteEndpoint endpoint_;
  ServiceApi api_;
  std::string name_;
  std::shared_ptr<Credential> credential_;
};

/// Where a request's target is at an endpoint. For OpenAI's API a URL with a path is what its provider calls the base URL, and
/// stands for /v1: "https://example.org/openai/v1" and "/v1/models" or "/models" are "https://example.org/openai/v1/models".
/// Else the paths are joined, and what the URL ends and the target begins with is there once.
std::string join_url(std::string_view base, std::string_view target, ServiceApi api);

}  // namespace trireme::proxy
