#include "node/probe.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <utility>

#include "core/pattern.hpp"

namespace trireme {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t longest_line = 1u << 10;
constexpr std::size_t longest_read = 1u << 20;  // of a growing file, at one look

std::string name_of(const ListenAddress& address) {
  return address.socket.empty() ? "port " + std::to_string(address.port) : "socket " + address.socket;
}

/// Connects, and with a request sends it and reads up to the status line.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::io_context& loop, ListenAddress address, std::string request, Look::Callback callback)
      : socket_(loop),
        timer_(loop),
        address_(std::move(address)),
        request_(std::move(request)),
        callback_(std::move(callback)) {}

  void start(Duration deadline) {
    timer_.expires_after(deadline);
    timer_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled) self->finish("no answer in time from " + name_of(self->address_));
    });
    asio::generic::stream_protocol::endpoint endpoint;
    if (address_.socket.empty()) {
      endpoint = asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), address_.port);
    } else {
      endpoint = asio::local::stream_protocol::endpoint(address_.socket);
    }
    socket_.async_connect(endpoint, [self = shared_from_this()](error_code failed) {
      if (failed) return self->finish("cannot connect to " + name_of(self->address_) + ": " + failed.message());
      if (self->request_.empty()) return self->finish(std::nullopt);
      self->write();
    });
  }

  void cancel() {
    callback_ = nullptr;
    close();
  }

 private:
  void write() {
    asio::async_write(socket_, asio::buffer(request_), [self = shared_from_this()](error_code failed, std::size_t) {
      if (failed) return self->finish("cannot send a request: " + failed.message());
      self->read();
    });
  }

  void read() {
    socket_.async_read_some(asio::buffer(chunk_), [self = shared_from_this()](error_code failed, std::size_t got) {
      self->answer_.append(self->chunk_.data(), got);
      const std::size_t end = self->answer_.find('\n');
      if (end != std::string::npos) return self->judge(self->answer_.substr(0, end));
      if (failed || self->answer_.size() > longest_line) return self->finish("no HTTP answer");
      self->read();
    });
  }

  void judge(std::string status) {
    while (!status.empty() && (status.back() == '\r' || status.back() == '\n')) status.pop_back();
    const std::size_t space = status.find(' ');
    if (!status.starts_with("HTTP/") || space == std::string::npos) return finish("no HTTP answer");
    const std::string code = status.substr(space + 1, 3);
    if (code.size() == 3 && code[0] == '2') return finish(std::nullopt);
    finish("answered " + status.substr(space + 1));
  }

  void close() {
    error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
  }

  void finish(std::optional<std::string> why_not) {
    const auto callback = std::exchange(callback_, nullptr);
    close();
    if (callback) callback(std::move(why_not));
  }

  asio::generic::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  ListenAddress address_;
  std::string request_;
  std::string answer_;
  std::array<char, 1024> chunk_{};
  Look::Callback callback_;
};

class NetworkLook final : public Look {
 public:
  explicit NetworkLook(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~NetworkLook() override { connection_->cancel(); }

 private:
  std::shared_ptr<Connection> connection_;
};

std::unique_ptr<Look> connect(asio::io_context& loop, const ListenAddress& address, std::string request,
                              Duration deadline, Look::Callback callback) {
  auto connection = std::make_shared<Connection>(loop, address, std::move(request), std::move(callback));
  connection->start(deadline);
  return std::make_unique<NetworkLook>(std::move(connection));
}

class FileLook final : public Look {
 public:
  ~FileLook() override { *wanted_ = false; }

  void start(FileWorker& files, std::function<bool()> job, std::string why_not, Callback callback) {
    auto shared = std::make_shared<Callback>(std::move(callback));
    const auto report = [wanted = wanted_, shared](std::optional<std::string> answer) {
      if (*wanted) (*shared)(std::move(answer));
    };
    const bool posted = files.run<bool>(
        std::move(job), [report, why_not](bool good) { report(good ? std::nullopt : std::optional(why_not)); });
    if (posted) return;
    asio::post(files.loop(), [report] { report("too much file work is waiting on this node"); });
  }

 private:
  std::shared_ptr<bool> wanted_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Look> look_at_port(asio::io_context& loop, const ListenAddress& address, Duration deadline,
                                   Look::Callback callback) {
  return connect(loop, address, "", deadline, std::move(callback));
}

std::unique_ptr<Look> look_at_http(asio::io_context& loop, const ListenAddress& address, const std::string& path,
                                   const std::string& key, Duration deadline, Look::Callback callback) {
  std::string request = "GET " + std::string(path.starts_with('/') ? "" : "/") + path + " HTTP/1.1\r\nHost: ";
  request += address.socket.empty() ? "127.0.0.1:" + std::to_string(address.port) : "localhost";
  request += "\r\nUser-Agent: trireme\r\nAccept: */*\r\nConnection: close\r\n";
  if (!key.empty()) request += "Authorization: Bearer " + key + "\r\n";
  return connect(loop, address, request + "\r\n", deadline, [path, callback = std::move(callback)](auto why_not) {
    if (why_not) why_not = "GET " + path + ": " + *why_not;
    callback(std::move(why_not));
  });
}

std::unique_ptr<Look> look_for_file(FileWorker& files, std::filesystem::path path, Look::Callback callback) {
  auto look = std::make_unique<FileLook>();
  const std::string why_not = "the file " + path.string() + " is not there";
  look->start(
      files,
      [path = std::move(path)] {
        std::error_code ignored;
        return std::filesystem::exists(path, ignored);
      },
      why_not, std::move(callback));
  return look;
}

Result<std::shared_ptr<GrowingFile>> GrowingFile::watch(std::filesystem::path path, const std::string& pattern) {
  try {
    std::regex regex(pattern, pattern_kind);
    return std::shared_ptr<GrowingFile>(new GrowingFile(std::move(path), std::move(regex)));
  } catch (const std::regex_error& error) {
    return Error{"'" + pattern + "' is no regular expression: " + error.what(), "", "", ExitCode::usage};
  }
}

bool GrowingFile::look() {
  std::ifstream file(path_, std::ios::binary);
  if (found_ || !file) return found_;
  file.seekg(static_cast<std::streamoff>(offset_));
  std::string fresh(longest_read, '\0');
  file.read(fresh.data(), static_cast<std::streamsize>(fresh.size()));
  fresh.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, file.gcount())));
  offset_ += fresh.size();
  behind_ = fresh.size() == longest_read;
  std::size_t at = 0;
  while (at < fresh.size() && !found_) {
    const std::size_t end = fresh.find('\n', at);
    const std::size_t length = (end == std::string::npos ? fresh.size() : end) - at;
    const std::size_t fits = std::min(length, longest_line - line_.size());
    line_.append(fresh, at, fits);
    found_ = (fits > 0 || length == 0) && std::regex_search(line_, pattern_);
    if (end == std::string::npos) break;
    line_.clear();
    at = end + 1;
  }
  return found_;
}

std::unique_ptr<Look> look_into_file(FileWorker& files, std::shared_ptr<GrowingFile> file, Look::Callback callback) {
  auto look = std::make_unique<FileLook>();
  look->start(
      files, [file = std::move(file)] { return file->look(); }, "its stdout does not show the pattern yet",
      std::move(callback));
  return look;
}

}  // namespace trireme
