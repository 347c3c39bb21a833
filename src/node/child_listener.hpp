// Connections that processes of this node are given at their start (spawner::Spawn::connect_path): one unix socket in the
// rank's private folder, and a greeting for each process by which it is told from the others. Belongs to the agent's loop.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/result.hpp"

namespace trireme {

class ChildListener {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  using Connected = std::function<void(Socket socket)>;

  ChildListener(boost::asio::io_context& loop, std::filesystem::path path);
  ~ChildListener();
  ChildListener(const ChildListener&) = delete;
  ChildListener& operator=(const ChildListener&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// The greeting of a process that will connect; the first call opens the socket. `connected` is called at most once.
  Result<std::string> expect(Connected connected);
  /// It will not connect any more.
  void forget(const std::string& greeting) { expected_.erase(greeting); }

 private:
  Status open();
  void accept();
  void greet(Socket socket);

  boost::asio::io_context& loop_;
  std::filesystem::path path_;
  std::optional<boost::asio::local::stream_protocol::acceptor> acceptor_;
  std::map<std::string, Connected> expected_;
  std::uint64_t count_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace trireme
