#include "node/spawner_factory.hpp"

#include <filesystem>
#include <utility>

#include "node/spawner/client.hpp"
#include "node/staging.hpp"

namespace trireme {
namespace {

class RealSpawner final : public ProcessSpawner {
 public:
  explicit RealSpawner(std::unique_ptr<SpawnerClient> client) : client_(std::move(client)) {}

  Status spawn(const spawner::Spawn& request) override { return client_->spawn(request); }
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override { client_->stop(id, grace); }
  void renew_lease(std::chrono::milliseconds duration) override { client_->renew_lease(duration); }
  void shutdown(std::chrono::milliseconds grace, std::chrono::milliseconds deadline,
                std::function<void()> done) override {
    client_->shutdown(grace, deadline, std::move(done));
  }

 private:
  std::unique_ptr<SpawnerClient> client_;
};

}  // namespace

SpawnerFactory spawner_factory(boost::asio::io_context& loop, SpawnerSettings settings) {
  return [&loop, settings = std::move(settings)](SpawnerReports reports) -> Result<std::unique_ptr<ProcessSpawner>> {
    // Without its folder the log is lost and nothing else.
    static_cast<void>(make_folder(std::filesystem::path(settings.log_file).parent_path()));
    SpawnerClient::Options options;
    options.program = settings.program;
    options.log_file = settings.log_file;
    options.remove = settings.remove;
    options.marks = {std::string(spawner::run_variable) + "=" + settings.run_id,
                     std::string(node_variable) + "=" + std::to_string(settings.rank)};
    auto client = SpawnerClient::start(loop, std::move(options),
                                       {std::move(reports.on_started), std::move(reports.on_failed),
                                        std::move(reports.on_ended), std::move(reports.on_lost)});
    if (!client) return std::move(client).error();
    return std::unique_ptr<ProcessSpawner>(std::make_unique<RealSpawner>(std::move(*client)));
  };
}

}  // namespace trireme
