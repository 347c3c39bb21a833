// How the commands submit, wait, cancel and request reach a run that is on: inside a task through the proxy of its node, from
// anywhere else (a login node) through the request folder of the run directory.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace CLI {
class App;
}

namespace trireme::cli {

class RuntimeAccess {
 public:
  /// `run` is a run directory, a name under ./trireme-runs or `last`; empty: the run that this process is a task of.
  static Result<RuntimeAccess> find(const std::string& run);

  /// What `/runtime` answers; an answer with an error status is an Error with its words.
  Result<nlohmann::ordered_json> call(const std::string& method, const std::string& target,
                                      const std::string& body = "",
                                      std::chrono::milliseconds deadline = std::chrono::minutes(1)) const;
  /// Waits until all (or any) of the tasks have ended, or the time is over: the tasks that have. Each is named once.
  Result<std::vector<nlohmann::ordered_json>> wait(const std::vector<std::string>& ids, bool any,
                                                   std::chrono::milliseconds timeout) const;

 private:
  std::string run_dir_;  ///< of the request folder; empty: through the socket
  std::string socket_;
  std::string token_;
};

/// --run RUN.
void add_run_option(CLI::App& command, std::string& run);

/// Whether each of the tasks is done, as lines on `out` or as JSON; says in words what failed.
struct Context;
void print_ends(const std::vector<nlohmann::ordered_json>& tasks, std::size_t expected, bool json, Context& context);

}  // namespace trireme::cli
