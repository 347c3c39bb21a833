// A rank as the tests see it: an event loop, a real spawner, and everything that the spawner reported.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/spawner/client.hpp"

namespace trireme::test {

/// Longer than any of this takes on a busy machine.
constexpr std::chrono::seconds patience{60};

/// A folder for one test, gone with it.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string path(const std::string& name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

std::string contents(const std::string& path);
std::vector<int> numbers(const std::string& text);
/// A value that no other test and no other run of the tests uses.
std::string unique_run_id();
/// The living processes that carry this run id in their environment.
std::vector<pid_t> carriers(const std::string& run_id);
/// Whether a process exists and is no zombie.
bool is_alive(pid_t pid);
/// Whether a process ignores a signal: a shell is past its `trap ''`.
bool ignores(pid_t pid, int signo);
/// Looks until `condition` holds; false when patience ends.
bool eventually(const std::function<bool()>& condition);

struct Rank {
  explicit Rank(std::vector<std::string> marks = {});
  ~Rank();

  /// A request for `sh -c script` with stdout and stderr in the scratch folder: out.ID, err.ID.
  SpawnRequest shell(std::uint64_t id, const std::string& script) const;
  void spawn(const SpawnRequest& request);
  /// Runs the loop until `condition` holds; false when patience ends.
  bool until(const std::function<bool()>& condition);
  bool until_started(std::uint64_t id);
  bool until_ended(std::uint64_t id);
  /// The whole life of one script.
  spawner::Ended run(const std::string& script);
  bool shut_down(std::chrono::milliseconds grace);
  std::string out(std::uint64_t id = 1) const;

  Scratch scratch;
  std::string run_id = unique_run_id();
  boost::asio::io_context loop;
  std::map<std::uint64_t, spawner::Started> started;
  std::map<std::uint64_t, spawner::Failed> failed;
  std::map<std::uint64_t, spawner::Ended> ended;
  std::size_t ends = 0;  ///< counted apart, so that a second report of one end shows
  std::string lost;
  std::unique_ptr<SpawnerClient> client;
};

}  // namespace trireme::test
