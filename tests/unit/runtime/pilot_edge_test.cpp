#include "runtime/pilot_edge.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "fabric/serialize.hpp"

using namespace trireme;
using namespace std::chrono_literals;

namespace {

struct Folder {
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "trireme-test-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("a message that finds no room for too long makes the run fail, and is not dropped in silence") {
  const Folder folder;
  auto journal = JournalWriter::create(folder.path / "events", "run-1");
  REQUIRE(journal.ok());
  RunInfo info;
  info.run_id = "run-1";
  info.run_dir = folder.path;
  std::promise<void> stuck;
  std::promise<void> end_of_hang;
  std::shared_future<void> hang = end_of_hang.get_future();
  std::atomic<bool> over{false};
  bool first = true;
  PilotEdge edge({}, info, 1, std::move(*journal),
                 [&](const PilotBatch& batch) {
                   if (std::exchange(first, false)) stuck.set_value();
                   hang.wait();
                   if (batch.over) over = true;
                 },
                 {.capacity = 4, .wait = 1ms});
  edge.on_reports(0, encode(FromAgent(NodeJoined{.host = "here", .resources = {}, .proxy_url = "", .warnings = {}})));
  edge.interrupt(ExitCode::interrupted, "interrupted", false);  // the agent is to end: the first that there is to deliver
  stuck.get_future().wait();
  for (int i = 0; i < 5; ++i) edge.on_reports(0, encode(FromAgent(TaskStarted{})));
  end_of_hang.set_value();
  while (!over) {
    edge.on_reports(0, encode(FromAgent(AgentDone{})));
    std::this_thread::sleep_for(1ms);
  }
  const PilotEnd end = edge.finish();
  CHECK(end.code == ExitCode::runtime_failed);
  REQUIRE(end.error);
  CHECK(end.error->text().find("--resume") != std::string::npos);
}
