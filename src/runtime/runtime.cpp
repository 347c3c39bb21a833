#include "trireme/runtime.hpp"

#include <exception>

#include "runtime/convert.hpp"
#include "runtime/run.hpp"

namespace trireme {
namespace {

class RunSession final : public Session {
 public:
  explicit RunSession(DriverContext& context) : context_(context) {}

  Result<TaskHandle> submit(const Task& task) override {
    auto description = describe(task, context_.folder);
    if (!description) return description.error();
    auto index = context_.pilot.submit(std::move(*description));
    if (!index) return index.error();
    return TaskHandle{index->value};
  }
  Result<TaskResult> wait(TaskHandle task, std::chrono::nanoseconds deadline) override {
    return context_.pilot.wait(TaskIndex{task.index}, deadline);
  }
  Status cancel(TaskHandle task) override { return context_.pilot.cancel(TaskIndex{task.index}); }
  Status start(const Service& service) override {
    auto description = describe(service, context_.folder);
    if (!description) return description.error();
    return context_.pilot.declare(std::move(*description));
  }
  Client client() const override { return Client(context_.proxy_socket, context_.token); }
  const std::string& run_dir() const override { return context_.run_dir; }

 private:
  DriverContext& context_;
};

/// A driver that throws must not end the whole MPI job.
Status call(const Driver& driver, Session& session) {
  try {
    return driver(session);
  } catch (const std::exception& thrown) {
    return Error{thrown.what(), "", "", ExitCode::failed};
  } catch (...) {
    return Error{"the driver threw something that is no std::exception", "", "", ExitCode::failed};
  }
}

}  // namespace

Result<RunSummary> run(MPI_Comm comm, const RuntimeOptions& options, const Driver& driver) {
  RunConfig config;
  config.name = options.name;
  config.run_dir = options.run_dir;
  config.worker_cores = options.worker_cores;
  config.worker_gpus = options.worker_gpus;
  config.worker_memory = options.worker_memory;
  config.reserve_cores = options.reserve_cores;
  config.dashboard = options.dashboard;
  config.log_level = options.log_level;
  auto end = run_on(
      comm, config,
      [&driver](RunConfig&) {
        return driver ? Status{} : Status{Error{"there is no driver", "", "give rank 0 one", ExitCode::usage}};
      },
      [&driver](DriverContext& context) -> Status {
        if (auto started = context.pilot.start(); !started) return started;
        RunSession session(context);
        return call(driver, session);
      });
  if (!end) return end.error();
  return RunSummary{end->code, end->run_dir, end->clean, end->error};
}

}  // namespace trireme
