// Remote endpoints over real TLS: certificates made by openssl for this run, a server in Python.
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <set>

#include "backend.hpp"
#include "client.hpp"
#include "cluster.hpp"
#include "proxy/remote/remote_upstream.hpp"
#include "scripted.hpp"
#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

namespace {

/// A certificate authority, a certificate for "localhost" and 127.0.0.1 made by it, and a server that shows that.
class TlsServer {
 public:
  TlsServer() {
    char folder[] = "/tmp/trireme-test-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    folder_ = folder;
    make(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-ca -keyout "
        "ca.key -out ca.pem");
    make(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=other-ca -keyout "
        "other.key -out other.pem");
    make(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key "
        "-out server.csr");
    std::ofstream(folder_ + "/names") << "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
    make(
        "openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out "
        "server.pem");
    start();
  }
  ~TlsServer() {
    ::close(to_);
    ::close(from_);
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }
  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  std::string url() const { return "https://localhost:" + std::to_string(port_); }

 private:
  void make(const std::string& command) {
    REQUIRE(std::system(("cd " + folder_ + " && " + command + " >/dev/null 2>&1").c_str()) == 0);
  }
  void start() {
    int input[2];
    int output[2];
    REQUIRE(::pipe2(input, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(output, O_CLOEXEC) == 0);
    const std::string script = std::string(TRIREME_SOURCE_DIR) + "/tests/unit/proxy/tls_server.py";
    const std::string certificate = file("server.pem");
    const std::string key = file("server.key");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(input[0], STDIN_FILENO);
      ::dup2(output[1], STDOUT_FILENO);
      ::execl("/usr/bin/python3", "python3", script.c_str(), certificate.c_str(), key.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(input[0]);
    ::close(output[1]);
    to_ = input[1];
    from_ = output[0];
    char text[16] = {};
    REQUIRE(::read(from_, text, sizeof text - 1) > 0);
    port_ = std::atoi(text);
    REQUIRE(port_ > 0);
  }

  std::string folder_;
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  int port_ = 0;
};

/// nghttpd, which speaks HTTP/2 over TLS and logs what comes over which connection.
class Http2Server {
 public:
  Http2Server(const TlsServer& certificates, const std::string& file, const std::string& content)
      : port_(closed_port()), folder_(certificates.file("http2")), log_(certificates.file("http2.log")) {
    std::filesystem::create_directory(folder_);
    std::ofstream(folder_ + "/" + file) << content;
    const std::string port = std::to_string(port_);
    const std::string key = certificates.file("server.key");
    const std::string certificate = certificates.file("server.pem");
    pid_ = ::fork();
    if (pid_ == 0) {
      const int log = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      ::dup2(log, STDOUT_FILENO);
      ::dup2(log, STDERR_FILENO);
      ::execlp("nghttpd", "nghttpd", "-v", "--address=127.0.0.1", "-d", folder_.c_str(), port.c_str(), key.c_str(),
               certificate.c_str(), nullptr);
      ::_exit(127);
    }
    REQUIRE(eventually([&] { return listens(); }));
  }
  ~Http2Server() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string url() const { return "https://localhost:" + std::to_string(port_); }
  /// The connections over which requests came, by nghttpd's numbers.
  std::set<std::string> connections() const {
    std::ifstream log(log_);
    std::set<std::string> out;
    for (std::string line; std::getline(log, line);) {
      if (line.find("recv HEADERS frame") == std::string::npos) continue;
      const std::size_t at = line.find("[id=");
      if (at != std::string::npos) out.insert(line.substr(at, line.find(']', at) - at));
    }
    return out;
  }

 private:
  bool listens() const {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool connected = ::connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    ::close(socket);
    return connected;
  }
  std::uint16_t port_;
  std::string folder_;
  std::string log_;
  pid_t pid_ = -1;
};

ServiceEndpoint remote_service(const RemoteEndpoint& remote) {
  ServiceEndpoint endpoint = service_on({});
  endpoint.remote.push_back(remote);
  return endpoint;
}

}  // namespace

TEST_CASE("remote: with OpenAI's API a URL with a path is the base that its provider documents") {
  const auto at = [](const char* base, const char* target) { return join_url(base, target, ServiceApi::openai); };
  CHECK(at("https://a.example", "/v1/models") == "https://a.example/v1/models");
  CHECK(at("https://a.example/", "/v1/models") == "https://a.example/v1/models");
  CHECK(at("https://a.example", "/models") == "https://a.example/models");
  for (const std::string base : {"https://a.example/v1", "https://a.example/api/v1", "https://a.example/openai/v1",
                                 "https://a.example:8443/v1beta/openai", "https://a.example/v4/"}) {
    CAPTURE(base);
    const std::string root = base.substr(0, base.find_last_not_of('/') + 1);
    CHECK(at(base.c_str(), "/v1/chat/completions") == root + "/chat/completions");
    CHECK(at(base.c_str(), "/v1/models?x=1") == root + "/models?x=1");
    CHECK(at(base.c_str(), "/models") == root + "/models");
    CHECK(at(base.c_str(), "/v1") == root);
    CHECK(at(base.c_str(), "/v1?x") == root + "?x");
    CHECK(at(base.c_str(), "/v12/models") == root + "/v12/models");
  }
}

TEST_CASE("remote: else paths are joined, and what the URL ends and the target begins with is there once") {
  for (const ServiceApi api : {ServiceApi::http, ServiceApi::ollama}) {
    const auto at = [&](const char* base, const char* target) { return join_url(base, target, api); };
    CHECK(at("https://a.example", "/v1/models") == "https://a.example/v1/models");
    CHECK(at("https://a.example/", "/v1") == "https://a.example/v1");
    CHECK(at("https://a.example/v1", "/v1/models?x=1") == "https://a.example/v1/models?x=1");
    CHECK(at("https://a.example/v1/", "/models") == "https://a.example/v1/models");
    CHECK(at("https://a.example/v1", "/v12/models") == "https://a.example/v1/v12/models");
    CHECK(at("https://a.example/v1", "/v1?x") == "https://a.example/v1?x");
    CHECK(at("https://a.example/x/v1", "/v1/models") == "https://a.example/x/v1/models");
    CHECK(at("https://a.example/x/v1", "/x/v1/models") == "https://a.example/x/v1/models");
    CHECK(at("https://a.example/ollama", "/api/chat") == "https://a.example/ollama/api/chat");
    CHECK(at("https://a.example/v1/x", "/v1/models") == "https://a.example/v1/x/v1/models");
    CHECK(at("https://a.example/xv1", "/v1/models") == "https://a.example/xv1/v1/models");
  }
}

TEST_CASE("remote: an endpoint behind TLS answers, with its key, from every rank and over a kept connection") {
  TlsServer server;
  ::setenv("TRIREME_TEST_KEY", "remote-key", 1);
  Cluster cluster(2);
  cluster.publish({remote_service(
      {.url = server.url() + "/v1", .key_env = "TRIREME_TEST_KEY", .key_file = {}, .ca_file = server.file("ca.pem")})});
  std::string connection;
  for (const Rank rank : {0, 1, 0}) {
    CAPTURE(rank);
    const Answer answer = ask(cluster.url(rank, "/services/llama/v1/models?a=b"),
                              {.headers = {"Authorization: Bearer inference-token", "X-Other: 1"}});
    CHECK(answer.status == 200);
    CHECK(answer.headers.at("x-trireme-replica") == "llama/remote-0");
    CHECK(answer.body.starts_with("GET /v1/models?a=b\n"));
    CHECK(answer.body.find("Authorization: Bearer remote-key\n") != std::string::npos);
    CHECK(answer.body.find("inference-token") == std::string::npos);
    CHECK(answer.body.find("X-Other: 1\n") != std::string::npos);
    CHECK(answer.body.find("Host: localhost:") != std::string::npos);
    const std::size_t at = answer.body.find("connection ");
    const std::string used = answer.body.substr(at, answer.body.find('\n', at) - at);
    if (connection.empty()) connection = used;
    CHECK(used == connection);
  }
}

TEST_CASE("remote: a request for a model goes to where the endpoint's URL has OpenAI's API") {
  Backend backend;
  Cluster cluster(2);
  RemoteEndpoint remote;
  remote.url = "http://127.0.0.1:" + std::to_string(backend.port()) + "/api/v1";
  ServiceEndpoint endpoint = remote_service(remote);
  endpoint.api = ServiceApi::openai;
  cluster.publish({endpoint});
  for (const Rank rank : {0, 1}) {
    for (const char* path : {"/v1/chat/completions", "/services/llama/v1/chat/completions"}) {
      CAPTURE(rank);
      CAPTURE(path);
      const Answer answer = ask(cluster.url(rank, path), {.method = "POST", .body = "{}"});
      CHECK(answer.status == 200);
      CHECK_MESSAGE(answer.body.find("POST /api/v1/chat/completions\n") != std::string::npos, answer.body);
    }
  }
}

TEST_CASE("remote: requests at once are all answered over HTTP/2, and connections are kept for the next") {
  TlsServer certificates;
  const std::string content(100'000, 'x');
  Http2Server server(certificates, "answer", content);
  Cluster cluster(2);
  RemoteEndpoint remote;
  remote.url = server.url();
  remote.ca_file = certificates.file("ca.pem");
  cluster.publish({remote_service(remote)});
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 24; ++i) {
    answers.push_back(
        std::async(std::launch::async, [url = cluster.url(i % 2, "/services/llama/answer")] { return ask(url); }));
  }
  for (auto& answer : answers) {
    const Answer got = answer.get();
    CHECK_MESSAGE(got.status == 200, got.body);
    CHECK((got.body == content));
  }
  const std::set<std::string> connections = server.connections();
  CHECK_FALSE(connections.empty());
  CHECK(connections.size() <= remote.concurrency);
  for (int i = 0; i < 8; ++i) CHECK(ask(cluster.url(i % 2, "/services/llama/answer")).status == 200);
  CHECK(server.connections() == connections);
}

TEST_CASE("remote: bodies stream both ways unchanged") {
  TlsServer server;
  Cluster cluster(2);
  cluster.publish(
      {remote_service({.url = server.url(), .key_env = {}, .key_file = {}, .ca_file = server.file("ca.pem")})});
  for (const Rank rank : {0, 1}) {
    for (const bool length_known : {true, false}) {
      CAPTURE(rank);
      CAPTURE(length_known);
      std::string body(3u << 20, '\0');
      for (std::size_t i = 0; i < body.size(); ++i) body[i] = Backend::pattern(i);
      Asked asked{.method = "POST"};
      std::size_t sent = 0;
      if (length_known) {
        asked.body = body;
      } else {
        asked.upload = [&](std::size_t room) {
          const std::string piece = body.substr(sent, room);
          sent += piece.size();
          return piece;
        };
      }
      const Answer answer = ask(cluster.url(rank, "/services/llama/"), asked);
      CHECK(answer.error == "");
      CHECK(answer.status == 201);
      CHECK((answer.body == body));
    }
  }
}

TEST_CASE("remote: a certificate of an unknown authority is refused") {
  TlsServer server;
  Cluster cluster(1);
  for (const std::string& ca : {server.file("other.pem"), std::string()}) {
    cluster.publish({remote_service({.url = server.url(), .key_env = {}, .key_file = {}, .ca_file = ca})});
    const Answer answer = ask(cluster.url(0, "/services/llama/"));
    CHECK(answer.status == 502);
    CHECK_MESSAGE(answer.body.find("certificate") != std::string::npos, answer.body);
    CHECK(answer.headers.count("x-trireme-replica") == 0);
  }
}

TEST_CASE("remote: what goes wrong is said, without the key") {
  Cluster cluster(1);
  SUBCASE("nobody listens") {
    ::setenv("TRIREME_TEST_KEY", "remote-key", 1);
    cluster.publish({remote_service({.url = "http://127.0.0.1:" + std::to_string(closed_port()),
                                     .key_env = "TRIREME_TEST_KEY",
                                     .key_file = {},
                                     .ca_file = {}})});
  }
  SUBCASE("no key") {
    cluster.publish({remote_service(
        {.url = "http://127.0.0.1:1", .key_env = "TRIREME_NO_SUCH_KEY", .key_file = {}, .ca_file = {}})});
  }
  SUBCASE("no URL") {
    cluster.publish({remote_service({.url = "::", .key_env = {}, .key_file = {}, .ca_file = {}})});
  }
  const Answer answer = ask(cluster.url(0, "/services/llama/"));
  CHECK(answer.status == 502);
  CHECK(answer.body.find("llama/remote-0") != std::string::npos);
  CHECK(answer.body.find("remote-key") == std::string::npos);
}

TEST_CASE("remote: a server that breaks off before its answer is not asked again unless the service allows it") {
  TlsServer server;
  Cluster cluster(1);
  cluster.publish(
      {remote_service({.url = server.url(), .key_env = {}, .key_file = {}, .ca_file = server.file("ca.pem")})});
  CHECK(ask(cluster.url(0, "/services/llama/break")).status == 502);
  CHECK(ask(cluster.url(0, "/services/llama/")).status == 200);
}

TEST_CASE("remote: the key may come from a file, and concurrency holds over all ranks") {
  Backend backend;
  char path[] = "/tmp/trireme-test-XXXXXX";
  const int file = ::mkstemp(path);
  REQUIRE(file >= 0);
  REQUIRE(::write(file, "file-key\n", 9) == 9);
  ::close(file);
  {
    Cluster cluster(2);
    ServiceEndpoint endpoint = remote_service({.url = "http://127.0.0.1:" + std::to_string(backend.port()),
                                               .key_env = {},
                                               .key_file = path,
                                               .ca_file = {},
                                               .concurrency = 1});
    cluster.publish({endpoint});
    CHECK(ask(cluster.url(1, "/services/llama/")).body.find("Authorization: Bearer file-key\n") != std::string::npos);
    Socket blocker(cluster.port(1));
    blocker.write("GET /services/llama/hang HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(backend.wait_for_open(1));
    CHECK(ask(cluster.url(0, "/services/llama/"), {.headers = {"X-Trireme-Deadline: 0.1"}}).status == 504);
    blocker.close();
    CHECK(backend.wait_for_gone(1));
    CHECK(ask(cluster.url(0, "/services/llama/")).status == 200);
  }
  ::unlink(path);
}
