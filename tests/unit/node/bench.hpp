// What tests of the agent stand on: a run directory, a loop that is driven until something has happened, an agent on it,
// and what it sent. The spawner is a real one or a fake that keeps what it was asked.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/messages.hpp"
#include "node/agent.hpp"

namespace trireme::test {

/// A folder that goes with the test.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read(const std::filesystem::path& path);
void write(const std::filesystem::path& path, std::string_view text);
/// Strict, with the placeholders that the runtime fills in.
Template text(std::string_view source);
std::vector<Template> words(std::initializer_list<std::string_view> sources);

/// Does nothing but remember; tests answer for it.
struct FakeSpawner {
  std::vector<spawner::Spawn> spawned;
  std::vector<std::uint64_t> stopped;
  std::function<void()> shut_down;
  std::chrono::milliseconds lease{0};
  bool refuses = false;
  int made = 0;  ///< how many spawners the agent has asked for
  SpawnerReports reports;

  void started(std::uint64_t id, std::int32_t pid = 4711) const { reports.on_started({id, pid, {1, 1000}}); }
  void ended(std::uint64_t id, std::int32_t exit_code = 0, bool was_stopped = false) const;
};

enum class SpawnerKind { real, fake };

class Bench {
 public:
  explicit Bench(SpawnerKind kind, std::vector<EnvironmentDescription> environments = {});
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  /// Drives the loop until it holds; false if it did not come to that in a long time.
  bool until(const std::function<bool()>& holds);
  /// Lets handlers that are due run.
  void settle();
  bool until_ended(std::uint32_t task);

  /// A task that runs this under bash.
  StartTask script(std::uint32_t index, std::string_view source) const;
  StartTask command(std::uint32_t index, std::initializer_list<std::string_view> sources) const;
  /// Sends it and waits for its end.
  AttemptEnd run(StartTask order);
  std::filesystem::path folder_of(const StartTask& order) const;

  template <typename Message>
  std::vector<Message> sent() const {
    std::vector<Message> out;
    for (const FromAgent& message : messages) {
      if (const auto* one = std::get_if<Message>(&message)) out.push_back(*one);
    }
    return out;
  }

  Folder root;
  boost::asio::io_context loop;
  std::shared_ptr<FakeSpawner> fake = std::make_shared<FakeSpawner>();
  std::vector<FromAgent> messages;
  std::vector<std::string> warnings;
  std::vector<std::string> service_names;
  std::vector<std::pair<Rank, std::string>> to_peers;
  std::vector<std::pair<ReplicaId, std::function<void()>>> drains;
  std::unique_ptr<Agent> agent;
};

/// Four cores in two domains, two GPUs, none of which has to exist.
NodeResources small_node();

}  // namespace trireme::test
