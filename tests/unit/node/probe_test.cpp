#include "node/probe.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <set>
#include <thread>

#include "bench.hpp"
#include "node/listening_sockets.hpp"
#include "node/ports.hpp"

using namespace trireme;
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr Duration generous = std::chrono::seconds(30);

/// Answers one connection with these words, on a thread of its own.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer)
      : acceptor_(loop_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        port(acceptor_.local_endpoint().port()),
        thread_([this, answer = std::move(answer)] {
          tcp::socket socket(loop_);
          boost::system::error_code error;
          acceptor_.accept(socket, error);
          if (error) return;
          asio::streambuf buffer;
          asio::read_until(socket, buffer, "\r\n\r\n", error);
          request.assign(asio::buffers_begin(buffer.data()), asio::buffers_end(buffer.data()));
          asio::write(socket, asio::buffer(answer), error);
        }) {}
  ~OneAnswer() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  asio::io_context loop_;
  tcp::acceptor acceptor_;

 public:
  const std::uint16_t port;
  std::string request;

 private:
  std::thread thread_;
};

/// The callback's answer: nothing yet, or good, or why not.
struct Answer {
  bool came = false;
  std::optional<std::string> why_not;
  Look::Callback callback() {
    return [this](std::optional<std::string> text) {
      REQUIRE(!came);
      came = true;
      why_not = std::move(text);
    };
  }
  void wait(asio::io_context& loop) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!came && std::chrono::steady_clock::now() < deadline) {
      loop.restart();
      loop.run_one_for(std::chrono::milliseconds(10));
    }
    REQUIRE(came);
  }
};

}  // namespace

TEST_CASE("an HTTP probe asks for its path, with the key, and is content with 2xx alone") {
  asio::io_context loop;
  SUBCASE("204") {
    OneAnswer server("HTTP/1.1 204 No Content\r\n\r\n");
    Answer answer;
    const auto look = look_at_http(loop, {server.port, ""}, "/health", "secret", generous, answer.callback());
    answer.wait(loop);
    CHECK(!answer.why_not);
    server.join();
    CHECK(server.request.find("GET /health HTTP/1.1\r\n") == 0);
    CHECK(server.request.find("\r\nAuthorization: Bearer secret\r\n") != std::string::npos);
  }
  SUBCASE("503") {
    OneAnswer server("HTTP/1.0 503 Loading model\r\n\r\n{}");
    Answer answer;
    const auto look = look_at_http(loop, {server.port, ""}, "/health", "", generous, answer.callback());
    answer.wait(loop);
    CHECK(answer.why_not == "GET /health: answered 503 Loading model");
    server.join();
    CHECK(server.request.find("Authorization") == std::string::npos);
  }
  SUBCASE("what is no HTTP") {
    OneAnswer server("SSH-2.0-OpenSSH\r\n");
    Answer answer;
    const auto look = look_at_http(loop, {server.port, ""}, "/", "", generous, answer.callback());
    answer.wait(loop);
    CHECK(answer.why_not == "GET /: no HTTP answer");
  }
  SUBCASE("nothing") {
    OneAnswer server("");
    Answer answer;
    const auto look = look_at_http(loop, {server.port, ""}, "/", "", generous, answer.callback());
    answer.wait(loop);
    CHECK(answer.why_not == "GET /: no HTTP answer");
  }
}

TEST_CASE("a server that accepts and never answers is given up at the deadline") {
  asio::io_context loop;
  tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto port = acceptor.local_endpoint().port();
  Answer answer;
  const auto look = look_at_http(loop, {port, ""}, "/", "", std::chrono::milliseconds(50), answer.callback());
  answer.wait(loop);
  CHECK(answer.why_not == "GET /: no answer in time from port " + std::to_string(port));
}

TEST_CASE("a port where nobody listens, and one where somebody does; a unix socket likewise") {
  asio::io_context loop;
  PortPicker picker;
  const auto port = picker.pick(mono_now());
  REQUIRE(port.ok());
  Answer closed;
  const auto first = look_at_port(loop, {*port, ""}, generous, closed.callback());
  closed.wait(loop);
  REQUIRE(closed.why_not);
  CHECK(closed.why_not->find("cannot connect to port " + std::to_string(*port)) == 0);

  tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), *port));
  Answer open;
  const auto second = look_at_port(loop, {*port, ""}, generous, open.callback());
  open.wait(loop);
  CHECK(!open.why_not);

  test::Folder folder;
  const std::string path = (folder.path() / "s").string();
  Answer missing;
  const auto third = look_at_port(loop, {0, path}, generous, missing.callback());
  missing.wait(loop);
  CHECK(missing.why_not);
  asio::local::stream_protocol::acceptor local(loop, path);
  Answer there;
  const auto fourth = look_at_port(loop, {0, path}, generous, there.callback());
  there.wait(loop);
  CHECK(!there.why_not);
}

TEST_CASE("a look that is let go never calls back") {
  asio::io_context loop;
  tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  Answer answer;
  auto look = look_at_http(loop, {acceptor.local_endpoint().port(), ""}, "/", "", generous, answer.callback());
  look.reset();
  FileWorker files(loop);
  auto other = look_for_file(files, "/", answer.callback());
  other.reset();
  Answer after;
  const auto last = look_for_file(files, "/", after.callback());
  after.wait(loop);
  loop.restart();
  loop.poll();
  CHECK(!answer.came);
}

TEST_CASE("a growing file is searched line by line, each part once, the last line before it is complete") {
  test::Folder folder;
  const auto path = folder.path() / "stdout";
  const auto watched = GrowingFile::watch(path, "^listening on [0-9]+");
  REQUIRE(watched.ok());
  GrowingFile& file = **watched;
  CHECK(!file.look());
  test::write(path, "loading\nnot listening on 1\nlisten");
  CHECK(!file.look());
  test::write(path, "loading\nnot listening on 1\nlistening on ");
  CHECK(!file.look());
  test::write(path, "loading\nnot listening on 1\nlistening on 80");
  CHECK(file.look());
  const auto wrong = GrowingFile::watch(path, "(");
  REQUIRE(!wrong.ok());
  CHECK(wrong.error().text().find("'(' is no regular expression") == 0);
}

TEST_CASE("neither a line of megabytes nor a pattern that backtracks does harm to the search") {
  test::Folder folder;
  test::write(folder.path() / "stdout", std::string(3u << 20, 'x') + "\nready\n");
  const auto watched = GrowingFile::watch(folder.path() / "stdout", "(x+)+y|^ready");
  REQUIRE(watched.ok());
  // While there is more to read the next look need not wait.
  for (int i = 0; i < 3; ++i) {
    CHECK(!(*watched)->look());
    CHECK((*watched)->behind());
  }
  CHECK((*watched)->look());
}

TEST_CASE("a port is not handed out twice in a short time, and one that is taken not at all") {
  PortPicker picker;
  std::set<std::uint16_t> ports;
  for (int i = 0; i < 200; ++i) {
    const auto port = picker.pick(1);
    REQUIRE(port.ok());
    CHECK(ports.insert(*port).second);
  }
}

TEST_CASE("who listens on a port is told by the process tree") {
  asio::io_context loop;
  tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto port = acceptor.local_endpoint().port();
  CHECK(listener_on(port, ::getpid()) == Listener::ours);
  // From the view of another process this test is a stranger.
  const pid_t other = ::fork();
  if (other == 0) {
    acceptor.close();
    ::pause();
    ::_exit(0);
  }
  REQUIRE(other > 0);
  // The child inherited the socket until it has closed it.
  Listener seen = Listener::ours;
  for (int i = 0; i < 3000 && seen == Listener::ours; ++i) {
    seen = listener_on(port, other);
    ::usleep(10000);
  }
  CHECK(seen == Listener::foreign);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  acceptor.close();
  CHECK(listener_on(port, ::getpid()) == Listener::none);
}

TEST_CASE("sock_diag and /proc name the same sockets: those that take connections to 127.0.0.1, and no others") {
  asio::io_context loop;
  const auto check = [&](const char* address, bool takes) {
    CAPTURE(address);
    tcp::acceptor acceptor(loop);
    const tcp::endpoint endpoint(asio::ip::make_address(address), 0);
    boost::system::error_code failed;
    acceptor.open(endpoint.protocol(), failed);
    if (!failed) acceptor.bind(endpoint, failed);
    if (failed) return;  // no IPv6 here
    const auto port = acceptor.local_endpoint().port();
    const auto by_diag_before = listening::by_sock_diag(port);
    if (by_diag_before) CHECK(by_diag_before->empty());
    acceptor.listen();
    tcp::socket client(loop);
    client.connect(
        {endpoint.address().is_unspecified()
             ? (endpoint.protocol() == tcp::v6() ? asio::ip::make_address("::1") : asio::ip::make_address("127.0.0.1"))
             : endpoint.address(),
         port});
    const auto by_proc = listening::by_proc(port);
    const auto by_diag = listening::by_sock_diag(port);
    REQUIRE_MESSAGE((by_diag || by_proc), "neither sock_diag nor /proc/net/tcp can be used here");
    if (by_proc) CHECK(by_proc->size() == (takes ? 1 : 0));
    if (by_proc && by_diag) CHECK(*by_diag == *by_proc);
    if (by_diag && takes) CHECK(by_diag->at(0).uid == ::geteuid());
    CHECK(listening_on(port) == (by_diag ? by_diag : by_proc));
  };
  check("127.0.0.1", true);
  check("0.0.0.0", true);
  check("127.0.0.2", false);
  check("::", true);
  check("::1", false);
}
