#include "runtime/run.hpp"

#include <array>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <thread>

#include "core/run_paths.hpp"
#include "journal/claim.hpp"
#include "runtime/bootstrap.hpp"
#include "runtime/preconditions.hpp"
#include "runtime/rank.hpp"
#include "runtime/request_folder.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// "./trireme-runs/NAME-20260131-120000".
std::string default_run_dir(const std::string& name) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &parts);
  return "trireme-runs/" + path_of_id(name) + "-" + text.data();
}

/// A default directory may be taken by a run that began in the same second; then the next name is tried.
Status claim(RunConfig& config, RunInfo& info) {
  const bool named = !config.run_dir.empty();
  const std::string wanted = named ? config.run_dir : default_run_dir(config.name);
  for (int attempt = 1;; ++attempt) {
    config.run_dir = fs::absolute(attempt == 1 ? wanted : wanted + "-" + std::to_string(attempt)).lexically_normal();
    auto claimed = claim_run_dir(config.run_dir, this_process(info.run_id, config.name));
    if (claimed || named || attempt == 100) return claimed;
  }
}

struct Begun {
  RunInfo info;
  std::unique_ptr<JournalWriter> journal;
};

/// On rank 0: the run's identity, its directory and its log.
Result<Begun> begin(RunConfig& config) {
  Begun begun;
  RunInfo& info = begun.info;
  info.run_id = make_run_id();
  if (config.resume) {
    config.run_dir = fs::absolute(config.run_dir).lexically_normal();
    auto earlier = read_claim(config.run_dir);
    if (!earlier) return earlier.error();
    info.run_id = earlier->run_id;
    if (auto abandoned = check_abandoned(config.run_dir, config.ended_before); !abandoned) return abandoned.error();
    // What was asked of the earlier part of the run is not meant for this one.
    std::vector<std::string> rejected;
    take_requests(config.run_dir, rejected);
  } else if (auto claimed = claim(config, info); !claimed) {
    return claimed.error();
  }
  info.name = config.name;
  info.run_dir = config.run_dir;
  info.workflow_dir = config.workflow_dir.empty() ? fs::current_path().string() : config.workflow_dir;
  info.environments = config.environments;
  info.launcher = config.launcher;
  info.dvm_uri = config.dvm_uri;
  info.output = config.output;
  info.inference_token = make_token();
  info.control_token = make_token();

  const auto events = RunPaths(config.run_dir).events();
  auto journal =
      config.resume ? JournalWriter::resume(events, info.run_id) : JournalWriter::create(events, info.run_id);
  if (!journal) return journal.error();
  if (config.resume) {
    auto taken = take_over_run_dir(config.run_dir, this_process(info.run_id, config.name));
    if (!taken) return taken.error();
  }
  begun.journal = std::move(*journal);
  return begun;
}

}  // namespace

Result<RunEnd> run_on(MPI_Comm comm, RunConfig config, const std::function<Status(RunConfig&)>& prepare,
                      const std::function<Status(DriverContext&)>& drive) {
  if (auto usable = check_mpi(comm); !usable) return usable.error();
  auto place = find_place(comm, check_rank(config));
  if (!place) return place.error();

  std::unique_ptr<JournalWriter> journal;
  auto info = share_run_info(comm, place->rank, [&]() -> Result<RunInfo> {
    if (auto prepared = prepare(config); !prepared) return prepared.error();
    auto begun = begin(config);
    if (!begun) return begun.error();
    journal = std::move(begun->journal);
    return begun->info;
  });
  if (!info) return info.error();

  auto loop = RankLoop::create(comm, *place, config, *info, std::move(journal));
  if (!loop) {
    // The other ranks serve already: this one ends without MPI_Finalize, and its launcher ends them.
    return RunEnd{.code = loop.error().code, .run_dir = info->run_dir, .error = loop.error(), .clean = false};
  }

  std::thread driver;
  if (PilotEdge* pilot = (*loop)->pilot()) {
    driver = std::thread([&, pilot] {
      Status status = pilot->wait_for_nodes();
      if (status) {
        DriverContext context{*pilot, info->run_dir, info->workflow_dir, (*loop)->proxy_socket(),
                              info->inference_token};
        status = drive(context);
      }
      pilot->close(status ? std::nullopt : std::optional<Error>(status.error()));
    });
  }
  const RankEnd end = (*loop)->serve();
  if (driver.joinable()) driver.join();
  return RunEnd{end.code, info->run_dir, end.text, end.json, end.error, end.clean};
}

}  // namespace trireme
