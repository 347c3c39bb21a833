// One look at a replica: does it answer?
//
// A look is started with everything it needs, ends by its deadline, and calls back once, on the loop, with nothing if all is
// well or with why not. Destroying the Look before that cancels it: no call follows. Connections use asynchronous calls;
// files are read by the FileWorker.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <regex>
#include <string>

#include "core/result.hpp"
#include "core/units.hpp"
#include "node/file_worker.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

/// Where a replica listens: a unix socket, or a port on loopback.
struct ListenAddress {
  std::uint16_t port = 0;
  std::string socket;
};

class Look {
 public:
  using Callback = std::function<void(std::optional<std::string> why_not)>;
  virtual ~Look() = default;
};

/// Good when a connection is accepted.
std::unique_ptr<Look> look_at_port(boost::asio::io_context& loop, const ListenAddress& address, Duration deadline,
                                   Look::Callback callback);
/// Good when GET `path` is answered with 2xx. `key` is sent as bearer token unless it is empty.
std::unique_ptr<Look> look_at_http(boost::asio::io_context& loop, const ListenAddress& address, const std::string& path,
                                   const std::string& key, Duration deadline, Look::Callback callback);
/// Good when the file is there.
std::unique_ptr<Look> look_for_file(FileWorker& files, std::filesystem::path path, Look::Callback callback);

/// A text file that grows, searched line by line for a pattern. Each look goes on where the one before stopped; the last line
/// is searched although it may not be complete yet. Lines count up to 1 KiB.
class GrowingFile {
 public:
  static Result<std::shared_ptr<GrowingFile>> watch(std::filesystem::path path, const std::string& pattern);
  /// Whether the pattern has been found so far. Called by one thread at a time.
  bool look();
  /// The last look did not come to the end of what is there: the next need not wait.
  bool behind() const { return behind_; }

 private:
  GrowingFile(std::filesystem::path path, std::regex pattern) : path_(std::move(path)), pattern_(std::move(pattern)) {}
  std::filesystem::path path_;
  std::regex pattern_;
  std::uint64_t offset_ = 0;
  std::string line_;  ///< what has been read of the last line
  bool found_ = false;
  bool behind_ = false;
};

/// Good when the pattern was found.
std::unique_ptr<Look> look_into_file(FileWorker& files, std::shared_ptr<GrowingFile> file, Look::Callback callback);

}  // namespace trireme
