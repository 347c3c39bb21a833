// Sends many requests to a service through its node's proxy and says how each ended, as one line of JSON:
//
//   storm_client URL SERVICE NAME REQUESTS CONNECTIONS DEADLINE_S
//
// Each of the connections sends one request after the other, with ids NAME-0, NAME-1, …; every fourth is a stream. It sets
// the deadline in X-Trireme-Deadline and gives up on an answer that has not begun a while after that, which a proxy that keeps
// its word never lets happen. Blocking sockets are not used: one thread, epoll.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "proxy/http/codec.hpp"

namespace {

using namespace trireme::proxy::http;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds slack{30};
constexpr int stream_every = 4;
constexpr int longest_work_ms = 20;

struct Totals {
  std::map<std::string, long> plain;     ///< answers of /work by outcome: a status, "cut" or "none"
  std::map<std::string, long> streamed;  ///< of /stream
  long late = 0;                         ///< no answer within deadline and slack
  long wrong = 0;                        ///< an answer to another request, or a body that is not what it should be
};

class Connection {
 public:
  Connection(int epoll, std::uint16_t port, std::string service)
      : epoll_(epoll), port_(port), service_(std::move(service)) {}
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(const std::string& id, bool stream, int ms, int deadline_s) {
    id_ = id;
    stream_ = stream;
    due_ = Clock::now() + std::chrono::seconds(deadline_s) + slack;
    out_ = "POST /services/" + service_ + (stream ? "/stream?" : "/work?") + std::to_string(ms) +
           " HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: " + id +
           "\r\nX-Trireme-Deadline: " + std::to_string(deadline_s) + "\r\nContent-Length: 5\r\n\r\nhello";
    in_.clear();
    body_.clear();
    parser_.reset();
    head_ = {};
    have_head_ = false;
    busy_ = true;
    if (socket_ < 0) connect();
    write();
  }

  bool busy() const { return busy_; }
  Clock::time_point due() const { return due_; }
  bool stream() const { return stream_; }

  /// The outcome, once there is one: "" before.
  std::string on_ready(Totals& totals) {
    write();
    char buffer[16384];
    while (busy_) {
      const ssize_t got = ::read(socket_, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return "";
      if (got <= 0) return end(have_head_ ? "cut" : "none");
      in_.append(buffer, static_cast<std::size_t>(got));
      if (parse(totals)) return end(std::to_string(head_.status));
    }
    return "";
  }

  std::string give_up() { return end("none"); }

 private:
  void connect() {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (socket_ < 0 || ::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
      std::perror("storm_client: connect");
      std::exit(1);
    }
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::fcntl(socket_, F_SETFL, O_NONBLOCK);
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = this}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket_, &event);
  }

  void write() {
    while (!out_.empty()) {
      const ssize_t sent = ::send(socket_, out_.data(), out_.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      out_.erase(0, static_cast<std::size_t>(sent));
    }
  }

  /// True when the whole answer is here.
  bool parse(Totals& totals) {
    if (!have_head_) {
      const auto state = parser_.parse_response(in_, head_);
      if (state == HeadParser::State::error) {
        ++totals.wrong;
        return true;
      }
      if (state == HeadParser::State::more) return false;
      in_.erase(0, parser_.consumed());
      have_head_ = true;
      decoder_ = BodyDecoder(follows(head_, "POST"));
    }
    while (!decoder_.done() && !decoder_.failed()) {
      const auto piece = decoder_.next(in_);
      if (piece.consumed == 0) break;
      body_.append(piece.data);
      in_.erase(0, piece.consumed);
    }
    if (decoder_.failed()) ++totals.wrong;
    if (!decoder_.done()) return decoder_.failed();
    std::string expected;
    for (int i = 0; i < (stream_ ? 10 : 1); ++i) expected += id_ + "\n";
    if (head_.status == 200 && body_ != expected) ++totals.wrong;
    if (find(head_.headers, "X-Request-Id").value_or("") != id_) ++totals.wrong;
    if (!in_.empty()) ++totals.wrong;  // a second answer
    return true;
  }

  std::string end(std::string outcome) {
    busy_ = false;
    const bool whole = outcome != "cut" && outcome != "none";
    if (!whole || !head_.keep_alive) close();
    return outcome;
  }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  const int epoll_;
  const std::uint16_t port_;
  const std::string service_;
  int socket_ = -1;
  std::string id_;
  bool stream_ = false;
  bool busy_ = false;
  Clock::time_point due_;
  std::string out_;
  std::string in_;
  HeadParser parser_;
  ResponseHead head_;
  bool have_head_ = false;
  BodyDecoder decoder_;
  std::string body_;
};

std::string json(const std::map<std::string, long>& counts) {
  std::string out = "{";
  for (const auto& [outcome, count] : counts) {
    out += (out.size() > 1 ? ", \"" : "\"") + outcome + "\": " + std::to_string(count);
  }
  return out + "}";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: storm_client URL SERVICE NAME REQUESTS CONNECTIONS DEADLINE_S\n");
    return 2;
  }
  const std::string url = argv[1];
  const auto port = static_cast<std::uint16_t>(std::atoi(url.c_str() + url.rfind(':') + 1));
  const std::string name = argv[3];
  const long requests = std::atol(argv[4]);
  const int deadline_s = std::atoi(argv[6]);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>{}(name)));
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < std::atoi(argv[5]); ++i)
    connections.push_back(std::make_unique<Connection>(epoll, port, argv[2]));

  Totals totals;
  long begun = 0;
  long ended = 0;
  const auto next = [&](Connection& connection) {
    if (begun == requests) return;
    const int ms = std::uniform_int_distribution<int>(0, longest_work_ms)(random);
    connection.send(name + "-" + std::to_string(begun), begun % stream_every == 0, ms, deadline_s);
    ++begun;
  };
  const auto count = [&](Connection& connection, const std::string& outcome) {
    if (outcome.empty()) return;
    ++ended;
    ++(connection.stream() ? totals.streamed : totals.plain)[outcome];
    next(connection);
  };
  for (auto& connection : connections) next(*connection);
  while (ended < requests) {
    epoll_event events[64];
    const int ready = ::epoll_wait(epoll, events, 64, 1000);
    for (int i = 0; i < ready; ++i) {
      auto& connection = *static_cast<Connection*>(events[i].data.ptr);
      if (connection.busy()) count(connection, connection.on_ready(totals));
    }
    const auto now = Clock::now();
    for (auto& connection : connections) {
      if (!connection->busy() || connection->due() > now) continue;
      ++totals.late;
      count(*connection, connection->give_up());
    }
  }
  std::printf("{\"requests\": %ld, \"plain\": %s, \"streamed\": %s, \"late\": %ld, \"wrong\": %ld}\n", requests,
              json(totals.plain).c_str(), json(totals.streamed).c_str(), totals.late, totals.wrong);
}
