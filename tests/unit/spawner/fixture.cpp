#include "fixture.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "launch/spawner/procfs.hpp"

namespace trireme::test {

Scratch::Scratch() {
  std::string pattern = std::filesystem::temp_directory_path() / "trireme-spawner-XXXXXX";
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string contents(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<int> numbers(const std::string& text) {
  std::istringstream in(text);
  std::vector<int> out;
  for (int number = 0; in >> number;) out.push_back(number);
  return out;
}

std::string unique_run_id() {
  static std::atomic<int> next{0};
  return "test-" + std::to_string(::getpid()) + "-" + std::to_string(next++);
}

std::vector<pid_t> carriers(const std::string& run_id) {
  std::vector<pid_t> found;
  for (const pid_t pid : procfs::all_processes()) {
    if (procfs::has_entry(procfs::environment_of(pid), "TRIREME_RUN_ID=" + run_id)) {
      found.push_back(pid);
    }
  }
  return found;
}

bool is_alive(pid_t pid) {
  const auto stat = procfs::stat_of(pid);
  return stat && !stat->dead();
}

bool ignores(pid_t pid, int signo) {
  std::istringstream status(contents("/proc/" + std::to_string(pid) + "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigIgn:")) return (std::stoull(line.substr(7), nullptr, 16) >> (signo - 1) & 1) != 0;
  }
  return false;
}

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

Rank::Rank(std::vector<std::string> marks) {
  SpawnerClient::Options options;
  options.program = TRIREME_TEST_SPAWNER;
  options.log_file = scratch.path("log");
  options.marks = std::move(marks);
  if (options.marks.empty()) options.marks = {"TRIREME_RUN_ID=" + run_id};
  SpawnerClient::Handlers handlers;
  handlers.on_started = [this](const auto& report) { started[report.id] = report; };
  handlers.on_failed = [this](const auto& report) { failed[report.id] = report; };
  handlers.on_ended = [this](const auto& report) {
    ended[report.id] = report;
    ++ends;
  };
  handlers.on_lost = [this](const Error& error) { lost = error.text(); };
  auto made = SpawnerClient::start(loop, std::move(options), std::move(handlers));
  REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().text()));
  client = std::move(*made);
}

Rank::~Rank() {
  if (client && client->alive()) shut_down(std::chrono::milliseconds(0));
}

SpawnRequest Rank::shell(std::uint64_t id, const std::string& script) const {
  SpawnRequest request;
  request.id = id;
  request.argv = {"sh", "-c", script};
  request.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "TRIREME_RUN_ID=" + run_id,
                 "TRIREME_ATTEMPT=" + run_id + "-" + std::to_string(id)};
  request.cwd = scratch.path("");
  request.stdout_path = scratch.path("out." + std::to_string(id));
  request.stderr_path = scratch.path("err." + std::to_string(id));
  return request;
}

void Rank::spawn(const SpawnRequest& request) {
  REQUIRE(client->spawn(request).ok());
}

bool Rank::until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

bool Rank::until_started(std::uint64_t id) {
  return until([&] { return started.contains(id) || failed.contains(id); }) && started.contains(id);
}

bool Rank::until_ended(std::uint64_t id) {
  return until([&] { return ended.contains(id); });
}

spawner::Ended Rank::run(const std::string& script) {
  spawn(shell(1, script));
  REQUIRE(until_ended(1));
  return ended[1];
}

bool Rank::shut_down(std::chrono::milliseconds grace) {
  bool done = false;
  client->shutdown(grace, patience, [&] { done = true; });
  return until([&] { return done; });
}

std::string Rank::out(std::uint64_t id) const {
  return contents(scratch.path("out." + std::to_string(id)));
}

}  // namespace trireme::test
