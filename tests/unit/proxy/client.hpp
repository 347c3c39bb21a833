// Blocking HTTP clients for the tests: libcurl for whole exchanges, a plain socket for what must be seen piece by
// piece.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace trireme::proxy::test {

struct Answer {
  int status = 0;                              ///< 0: no answer
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  std::string error;  ///< libcurl's words if the exchange failed
};

struct Asked {
  std::string method = "GET";
  std::vector<std::string> headers;
  std::string body;
  std::string socket;  ///< path of a unix socket
  /// Instead of `body`: gives the next piece, empty at the end.
  std::function<std::string(std::size_t room)> upload;
  /// Instead of Answer::body.
  std::function<void(const char*, std::size_t)> download;
};
Answer ask(const std::string& url, const Asked& asked = {});

/// A TCP connection to loopback. Reads fail the test after 20 s.
class Socket {
 public:
  explicit Socket(std::uint16_t port);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  void write(const std::string& text);
  /// The same, as far as the other side takes it.
  void offer(const std::string& text);
  /// Reads until `text` has come, and returns everything since the last call.
  std::string read_until(const std::string& text);
  /// Everything up to the end of the connection, in order or not.
  std::string read_to_end();
  /// Nothing has come since the last call.
  bool silent() const;
  void close();

 private:
  int descriptor_ = -1;
  std::string unread_;
};

}  // namespace trireme::proxy::test
