#include "runtime/socket_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "proxy/http/codec.hpp"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

Error failure(std::string what, std::string_view where) {
  return {std::move(what), std::string(where), "", ExitCode::failed};
}

class Connection {
 public:
  Connection(std::string_view where, Clock::time_point deadline) : where_(where), deadline_(deadline) {}
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return failure("the proxy's socket path is too long: " + path, where_);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // A unix socket connects at once, or says EAGAIN while the listener's backlog is full.
    while (fd_ >= 0 && connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN || Clock::now() >= deadline_) return system_failure("cannot reach the proxy at " + path);
      poll(nullptr, 0, 1);
    }
    return fd_ >= 0 ? Status{} : system_failure("cannot make a socket");
  }

  Status write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
      } else if (errno == EAGAIN) {
        if (auto ready = wait(POLLOUT); !ready) return ready;
      } else if (errno != EINTR) {
        return system_failure("the connection to the proxy broke");
      }
    }
    return {};
  }

  /// Appends what has come; false at the end of the connection.
  Result<bool> read(std::string& into) {
    std::array<char, 64 << 10> buffer;
    while (true) {
      const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
      if (n > 0) {
        into.append(buffer.data(), static_cast<std::size_t>(n));
        return true;
      }
      if (n == 0) return false;
      if (errno == EAGAIN) {
        if (auto ready = wait(POLLIN); !ready) return ready.error();
      } else if (errno != EINTR) {
        return system_failure("the connection to the proxy broke");
      }
    }
  }

 private:
  Status wait(short events) {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
      if (left <= 0) return failure("no answer before the deadline", where_);
      pollfd entry{fd_, events, 0};
      const int ready = poll(&entry, 1, static_cast<int>(std::min<long>(left, 1 << 30)));
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return system_failure("cannot wait for the proxy");
    }
  }
  Error system_failure(std::string what) const {
    return failure(std::move(what) + ": " + std::strerror(errno), where_);
  }

  std::string where_;
  Clock::time_point deadline_;
  int fd_ = -1;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

Result<Response> ask_socket(const SocketRequest& request, std::chrono::milliseconds deadline) {
  namespace http = proxy::http;
  http::RequestHead head;
  head.method = request.method;
  head.target = request.target;
  head.headers.push_back({"Host", "localhost"});
  if (!request.token.empty()) head.headers.push_back({"Authorization", "Bearer " + request.token});
  head.keep_alive = false;
  if (!request.body.empty()) head.body = {http::Body::Kind::length, request.body.size()};

  std::string out;
  http::append_head(out, head, head.body);
  out += request.body;
  Connection connection(request.where, Clock::now() + deadline);
  if (auto opened = connection.open(request.socket); !opened) return opened.error();
  if (auto written = connection.write(out); !written) return written.error();

  std::string in;
  http::ResponseHead answer;
  while (true) {
    http::HeadParser parser;
    const auto state = parser.parse_response(in, answer);
    if (state == http::HeadParser::State::error) return failure("the answer is no HTTP", request.where);
    if (state == http::HeadParser::State::done) {
      in.erase(0, parser.consumed());
      if (answer.status >= 200) break;
      answer = {};
      continue;
    }
    auto more = connection.read(in);
    if (!more) return more.error();
    if (!*more) return failure("the proxy closed the connection before an answer", request.where);
  }

  Response response;
  response.status = answer.status;
  for (const http::Header header : answer.headers) response.headers[lower(header.name)] = header.value;
  http::BodyDecoder decoder(http::follows(answer, request.method));
  while (!decoder.done()) {
    const auto piece = decoder.next(in);
    response.body += piece.data;
    if (decoder.failed()) return failure("the answer's body is broken: " + std::string(decoder.error()), request.where);
    if (piece.consumed > 0) {
      in.erase(0, piece.consumed);
      continue;
    }
    if (decoder.done()) break;
    auto more = connection.read(in);
    if (!more) return more.error();
    if (!*more) {
      if (decoder.at_eof()) break;
      return failure("the answer was cut short", request.where);
    }
  }
  return response;
}

}  // namespace trireme
