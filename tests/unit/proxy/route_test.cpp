#include "proxy/front/route.hpp"

#include <doctest/doctest.h>

using namespace trireme;
using namespace trireme::proxy;

TEST_CASE("front: where targets lead") {
  using Kind = Route::Kind;
  const auto service = [](std::string_view target, std::string_view name, std::string_view rest) {
    const Route route = route_of(target);
    CHECK(route.kind == Kind::service);
    CHECK(route.name == name);
    CHECK(upstream_target(route) == rest);
    CHECK_FALSE(route.control);
  };
  service("/services/llama/v1/models", "llama", "/v1/models");
  service("/services/llama", "llama", "/");
  service("/services/llama/", "llama", "/");
  service("/services/llama?x=/y", "llama", "/?x=/y");
  service("/services/llama/a%2Fb?x=1&y", "llama", "/a%2Fb?x=1&y");
  service("/services/llama//services/x", "llama", "//services/x");
  service("http://127.0.0.1:80/services/llama/x", "llama", "/x");
  CHECK(route_of("/services/").kind == Kind::unknown);
  CHECK(route_of("/services//x").kind == Kind::unknown);
  CHECK(route_of("/").kind == Kind::greeting);
  CHECK(route_of("*").kind == Kind::unknown);
  CHECK(route_of("/v1/models").kind == Kind::openai_models);
  CHECK(route_of("/v1/models?limit=1").kind == Kind::openai_models);
  CHECK(route_of("/v1/models/org/name%20x").name == "org/name%20x");
  CHECK(percent_decoded("org/name%20x%4") == "org/name x%4");
  CHECK(route_of("/api/tags").kind == Kind::ollama_tags);
  CHECK(route_of("/api/ps").kind == Kind::ollama_running);
  CHECK(route_of("/api/version").kind == Kind::ollama_version);
  for (const std::string_view target : {"/v1/chat/completions?x=1", "/v1/what/ever", "/api/chat", "/api/show"}) {
    const Route route = route_of(target);
    CHECK(route.kind == Kind::by_model);
    CHECK(upstream_target(route) == target);
    CHECK(route.dialect == (target.starts_with("/v1") ? Dialect::openai : Dialect::ollama));
  }
  CHECK(route_of("/v1").kind == Kind::unknown);
  CHECK(route_of("/apiary").kind == Kind::unknown);
  CHECK(route_of("/healthz?now").kind == Kind::health);
  CHECK(route_of("/healthzz").kind == Kind::unknown);
  CHECK(route_of("/metrics").kind == Kind::metrics);
  CHECK(route_of("/runtime/endpoints").kind == Kind::endpoints);
  CHECK(route_of("/runtime/endpoints").control);
  CHECK(route_of("/runtime").control);
  CHECK(route_of("/runtime/other?x").control);
  CHECK_FALSE(route_of("/runtimes").control);
}

TEST_CASE("front: only this node's loopback is a Host for /runtime") {
  RunInfo run;
  run.control_token = "t";
  const auto allowed = [&](std::string_view host) {
    http::RequestHead head;
    head.headers = {{"Host", std::string(host)}, {"Authorization", "Bearer t"}};
    return !deny(head, http::Peer::ours, true, run).has_value();
  };
  for (const auto* host : {"localhost", "localhost:80", "127.0.0.1:8080", "[::1]:1", "127.0.0.1"})
    CHECK_MESSAGE(allowed(host), host);
  for (const auto* host :
       {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil", "localhost:", "localhost:8a", "127.0.0.11"}) {
    CHECK_FALSE_MESSAGE(allowed(host), host);
  }
  run.control_token.clear();
  CHECK_FALSE(allowed("localhost"));  // no secret opens nothing
}

TEST_CASE("front: wishes in headers") {
  CHECK(wishes_of({})->priority == Priority::normal);
  CHECK(wishes_of({})->deadline == Duration(defaults::request_deadline));
  const auto wishes = wishes_of({{"x-trireme-priority", "LOW"}, {"X-Trireme-Deadline", "1.5"}});
  REQUIRE(wishes.ok());
  CHECK(wishes->priority == Priority::low);
  CHECK(wishes->deadline == std::chrono::milliseconds(1500));
  for (const auto* deadline : {"0", "-1", "soon", ""})
    CHECK_FALSE_MESSAGE(wishes_of({{"X-Trireme-Deadline", deadline}}).ok(), deadline);
  CHECK(wishes_of({{"X-Trireme-Deadline", "90d"}})->deadline == Duration(defaults::longest_deadline));
}

TEST_CASE("front: a request id that cannot be logged is not taken over") {
  CHECK(request_id_of({{"X-Request-Id", "abc-1"}}) == "abc-1");
  CHECK_FALSE(request_id_of({}).has_value());
  CHECK_FALSE(request_id_of({{"X-Request-Id", "a b"}}).has_value());
  CHECK_FALSE(request_id_of({{"X-Request-Id", std::string(200, 'a')}}).has_value());
}
