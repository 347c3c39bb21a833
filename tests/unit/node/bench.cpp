#include "bench.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/run_paths.hpp"
#include "node/spawner/environment.hpp"
#include "node/spawner_factory.hpp"

extern "C" char** environ;

namespace trireme::test {
namespace {

constexpr auto long_time = std::chrono::seconds(60);

class FakeHandle final : public ProcessSpawner {
 public:
  explicit FakeHandle(std::shared_ptr<FakeSpawner> fake) : fake_(std::move(fake)) {}
  Status spawn(const spawner::Spawn& request) override {
    if (fake_->refuses) return Error{"no room", "", ""};
    fake_->spawned.push_back(request);
    return {};
  }
  void stop(std::uint64_t id, std::chrono::milliseconds) override { fake_->stopped.push_back(id); }
  void renew_lease(std::chrono::milliseconds duration) override { fake_->lease = duration; }
  void shutdown(std::chrono::milliseconds, std::chrono::milliseconds, std::function<void()> done) override {
    fake_->shut_down = std::move(done);
  }

 private:
  std::shared_ptr<FakeSpawner> fake_;
};

}  // namespace

Folder::Folder() {
  std::string name = "/tmp/trireme-test-XXXXXX";
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

void write(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

Template text(std::string_view source) {
  auto parsed = Template::parse(source, Template::Mode::strict, &is_runtime_placeholder);
  REQUIRE(parsed.ok());
  return std::move(*parsed);
}

std::vector<Template> words(std::initializer_list<std::string_view> sources) {
  std::vector<Template> out;
  for (const auto source : sources) out.push_back(text(source));
  return out;
}

void FakeSpawner::ended(std::uint64_t id, std::int32_t exit_code, bool was_stopped) const {
  spawner::Ended report;
  report.id = id;
  report.exit_code = exit_code;
  report.stopped = was_stopped;
  report.at = {2, 2000};
  reports.on_ended(report);
}

NodeResources small_node() {
  NodeResources node;
  for (std::uint32_t i = 0; i < 4; ++i) node.cores.push_back({i, i / 2, {}});
  node.gpus = {{0, GpuVendor::nvidia, "0"}, {1, GpuVendor::nvidia, "1"}};
  node.gpu_vendor = GpuVendor::nvidia;
  node.memory = 1u << 30;
  return node;
}

Bench::Bench(SpawnerKind kind, std::vector<EnvironmentDescription> environments) {
  AgentOptions options;
  options.run = {.run_id = "test-" + std::to_string(::getpid()) + root.path().filename().string(),
                 .name = "test",
                 .run_dir = (root.path() / "run").string(),
                 .workflow_dir = (root.path() / "workflow").string(),
                 .inference_token = "inference-token",
                 .control_token = "control-token"};
  options.rank = 3;
  options.host = "n003";
  options.node = small_node();
  options.hosts = Hosts({0, 1, 2, 3, 4}, {"n000", "n001", "n002", "n003", "n004"}, false);
  options.proxy_url = "http://127.0.0.1:9999";
  options.proxy_socket = "/nowhere/proxy";
  options.tmp_folder = root.path() / "tmp";
  options.base_environment = scrub(environ);
  options.base_environment.push_back("TRIREME_TOKEN=of-an-outer-run");
  options.environments = std::move(environments);
  std::filesystem::create_directories(options.run.workflow_dir);
  std::filesystem::create_directories(options.tmp_folder);

  AgentHooks hooks;
  hooks.send = [this](FromAgent message) { messages.push_back(std::move(message)); };
  hooks.drain_replica = [this](ReplicaId id, std::function<void()> done) { drains.emplace_back(id, std::move(done)); };
  hooks.service_names = [this] { return service_names; };
  hooks.send_peer = [this](Rank to, std::string message) { to_peers.emplace_back(to, std::move(message)); };
  hooks.warn = [this](const std::string& warning) { warnings.push_back(warning); };

  SpawnerFactory factory;
  if (kind == SpawnerKind::real) {
    factory = spawner_factory(loop, {.program = TRIREME_SPAWNER_PROGRAM,
                                     .log_file = (root.path() / "spawner.log").string(),
                                     .run_id = options.run.run_id,
                                     .rank = options.rank});
  } else {
    factory = [this](SpawnerReports reports) -> Result<std::unique_ptr<ProcessSpawner>> {
      fake->reports = std::move(reports);
      ++fake->made;
      return std::unique_ptr<ProcessSpawner>(std::make_unique<FakeHandle>(fake));
    };
  }
  agent = std::make_unique<Agent>(loop, std::move(options), std::move(hooks), std::move(factory));
  const auto started = agent->start();
  REQUIRE_MESSAGE(started.ok(), (started.ok() ? "" : started.error().text()));
}

Bench::~Bench() {
  agent.reset();
}

bool Bench::until(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + long_time;
  while (!holds()) {
    loop.restart();
    if (std::chrono::steady_clock::now() > deadline) return false;
    // The file worker and the fake leave the loop without work of its own at times, so it is asked again and again.
    if (loop.run_one_for(std::chrono::milliseconds(20)) == 0) ::usleep(1000);
  }
  return true;
}

void Bench::settle() {
  loop.restart();
  loop.poll();
}

bool Bench::until_ended(std::uint32_t task) {
  return until([&] {
    for (const auto& end : sent<TaskEnded>()) {
      if (end.id.task.value == task) return true;
    }
    return false;
  });
}

StartTask Bench::script(std::uint32_t index, std::string_view source) const {
  StartTask order;
  order.id = {{index}, 0};
  order.task.id = "t" + std::to_string(index);
  auto parsed = Template::parse(source, Template::Mode::script, &is_runtime_placeholder);
  REQUIRE(parsed.ok());
  order.task.script = std::move(*parsed);
  return order;
}

StartTask Bench::command(std::uint32_t index, std::initializer_list<std::string_view> sources) const {
  StartTask order;
  order.id = {{index}, 0};
  order.task.id = "t" + std::to_string(index);
  order.task.command = words(sources);
  return order;
}

AttemptEnd Bench::run(StartTask order) {
  const std::uint32_t index = order.id.task.value;
  agent->on_message(std::move(order));
  REQUIRE(until_ended(index));
  for (const auto& end : sent<TaskEnded>()) {
    if (end.id.task.value == index) return end.end;
  }
  return {};
}

std::filesystem::path Bench::folder_of(const StartTask& order) const {
  return RunPaths(root.path() / "run").attempt(order.task.id, order.id.attempt);
}

}  // namespace trireme::test
