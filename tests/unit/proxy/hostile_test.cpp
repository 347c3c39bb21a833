// Clients that mean no good, at a whole proxy: what they send is refused or ends their connection, no replica sees a request
// that they have smuggled in, no answer repeats a secret, and everybody else is served meanwhile.
#include <algorithm>
#include <memory>

#include "backend.hpp"
#include "client.hpp"
#include "scripted.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

const std::string smuggled = "GET /services/llama/ HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: smuggled\r\n\r\n";
const std::string start = "POST /services/llama/ HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: attack\r\n";

struct Attack {
  const char* name;
  std::string bytes;
  std::string answer;  ///< how the refusal begins
};

const std::vector<Attack> attacks = {
    {"Content-Length and Transfer-Encoding",
     start + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"Transfer-Encoding and Content-Length",
     start + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"two lengths", start + "Content-Length: 0\r\nContent-Length: 90\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"a list of lengths", start + "Content-Length: 0, 90\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"a length with a sign", start + "Content-Length: +0\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"two codings", start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
     "HTTP/1.1 400 "},
    {"a coding in disguise", start + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled, "HTTP/1.1 501 "},
    {"a space before the colon", start + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"a folded header", start + "X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"a bare line feed", start + "X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"a bare carriage return", start + "X-A: b\rX-B: c\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"a NUL", start + std::string("X-A: b\0c\r\n\r\n", 12) + smuggled, "HTTP/1.1 400 "},
    {"two hosts", start + "Host: other\r\n\r\n" + smuggled, "HTTP/1.1 400 "},
    {"header flood",
     start +
         [] {
           std::string lines;
           for (int i = 0; i < 10'000; ++i) lines += "X-" + std::to_string(i) + ": y\r\n";
           return lines;
         }(),
     "HTTP/1.1 431 "},
    {"an oversize line", start + "X-A: " + std::string(1u << 20, 'a'), "HTTP/1.1 431 "},
    {"an oversize target", "GET /" + std::string(1u << 20, 'a'), "HTTP/1.1 414 "},
    {"a tunnel", "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, "HTTP/1.1 501 "},
    {"another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
};

/// Chunks that break off a request that has begun: its connection ends, with an answer or without.
const std::vector<std::string> broken_chunks = {"x\r\n",
                                                "-1\r\nA\r\n",
                                                "5 \r\nhello\r\n",
                                                "5\nhello\r\n",
                                                "5\r\nhelloXX",
                                                "8000000000000000\r\n",
                                                "10000000000000000\r\n",
                                                "0x5\r\nhello\r\n",
                                                "5;" + std::string(100'000, 'a')};

}  // namespace

TEST_CASE("hostile: what could be read in two ways is refused, and nothing follows on its connection") {
  Backend backend;
  Cluster cluster(2);
  ServiceEndpoint endpoint = service_on({}, 4);
  endpoint.replicas = {replica_at(0, 1, backend.port())};
  cluster.publish({endpoint});
  for (const Attack& attack : attacks) {
    CAPTURE(attack.name);
    Socket client(cluster.port(0));
    client.offer(attack.bytes);
    const std::string answer = client.read_to_end();
    CHECK_MESSAGE(answer.starts_with(attack.answer), answer.substr(0, 200));
    CHECK(answer.find("HTTP/1.1 2") == std::string::npos);
    CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = {"X-Request-Id: good"}}).status == 200);
  }
  for (const std::string& chunk : broken_chunks) {
    CAPTURE(chunk.substr(0, 20));
    Socket client(cluster.port(0));
    client.offer("POST /services/llama/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk +
                 "0\r\n\r\n" + smuggled);
    client.read_to_end();
    CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = {"X-Request-Id: good"}}).status == 200);
  }
  const auto seen = backend.order();
  CHECK(std::count(seen.begin(), seen.end(), "smuggled") == 0);
  CHECK(std::count(seen.begin(), seen.end(), "attack") == 0);
  CHECK(eventually([&] { return calm(cluster, {0, 1}); }));
}

TEST_CASE("hostile: many that send their heads slowly keep nobody else waiting") {
  Backend backend;
  Cluster cluster(1);
  ServiceEndpoint endpoint = service_on({}, 4);
  endpoint.replicas = {replica_at(0, 0, backend.port())};
  cluster.publish({endpoint});
  std::vector<std::unique_ptr<Socket>> slow;
  for (int i = 0; i < 200; ++i) {
    slow.push_back(std::make_unique<Socket>(cluster.port(0)));
    slow.back()->write("GET /services/llama/ HTTP/1.1\r\nHost: localhost\r\nX-");
  }
  for (int i = 0; i < 20; ++i) {
    slow[static_cast<std::size_t>(i)]->write("a");
    CHECK(ask(cluster.url(0, "/services/llama/")).status == 200);
  }
  CHECK(backend.served() == 20);
}

TEST_CASE("hostile: a refusal repeats no token, and a wrong one is as good as none") {
  Backend backend;
  Cluster cluster(1, {.identify = [](int) { return http::Peer::unknown; }});
  ServiceEndpoint endpoint = service_on({}, 4);
  endpoint.replicas = {replica_at(0, 0, backend.port())};
  cluster.publish({endpoint});
  for (const std::string path : {"/services/llama/", "/runtime/endpoints", "/metrics"}) {
    for (const std::string token : {"", "inference-toke", "inference-token-and-more", "Inference-Token"}) {
      const Answer answer = ask(cluster.url(0, path), {.headers = {"Authorization: Bearer " + token}});
      CHECK(answer.status == 401);
      CHECK(answer.body.find("inference-token") == std::string::npos);
      CHECK(answer.body.find("control-token") == std::string::npos);
      if (!token.empty()) CHECK(answer.body.find(token) == std::string::npos);
    }
  }
  CHECK(backend.served() == 0);
}
