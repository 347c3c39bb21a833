// What a run is told before it starts: the command line's options, or the API's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/description.hpp"
#include "core/exit_code.hpp"
#include "node/attempt.hpp"
#include "observe/progress.hpp"

namespace trireme {

struct RunConfig {
  std::string name = "run";
  std::string run_dir;                ///< empty: ./trireme-runs/NAME-TIME
  bool resume = false;                ///< run_dir is that of an earlier run, which goes on
  bool ended_before = false;          ///< by its log, that run came to an end
  std::string workflow_file;          ///< absolute, for the log; empty for runs made through the API
  std::string workflow_dir;           ///< absolute
  std::vector<std::string> settings;  ///< NAME=VALUE: parameters that were set, for the log and for --resume
  std::vector<EnvironmentDescription> environments;
  bool stop_on_failure = false;
  std::optional<std::uint32_t> worker_cores;
  std::optional<std::uint32_t> worker_gpus;
  std::optional<std::uint64_t> worker_memory;
  std::string reserve_cores;      ///< cores of each host that are never given away (node/topology.hpp); empty: none
  bool keep_to_reserved = false;  ///< the process is the runtime's alone, and keeps to one of these
  bool dedicated_pilot = false;   ///< rank 0 takes no work
  std::string launcher = "auto";
  std::string dvm_uri;                    ///< of a PMIx runtime for the launch method `dvm`
  OutputMode output = OutputMode::files;  ///< of tasks that do not say their own
  observe::ProgressMode progress = observe::ProgressMode::none;
  std::optional<std::uint16_t> dashboard;  ///< rank 0 serves it, on this port of its loopback; 0: any free one
  std::function<void(const std::string& text)> say;  ///< words for the user while the run is on; null: nobody listens
  bool handle_signals = false;                       ///< SIGINT, SIGTERM and SIGUSR1 drain the run
  std::string log_level = "warn";
  AttemptMaker make_attempt;  ///< what tasks are, in measurements of everything else; null: processes
};

}  // namespace trireme
