// Tasks, as a C++ program describes them. docs/spec/workflow.md says what each property means; defaults are those of the
// workflow file.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trireme {

/// A file or folder that goes into a task's folder before it starts, or out of it afterwards.
struct File {
  std::string from;
  std::string to;
};

struct Task {
  std::string id;                    ///< unique in the run
  std::vector<std::string> command;  ///< program and arguments; or
  std::string script;                ///< a bash script
  std::map<std::string, std::string> env;
  std::string cwd;                    ///< default: a folder of its own in the run directory
  unsigned ranks = 1;                 ///< processes
  unsigned cores = 1;                 ///< per rank
  double gpus = 0;                    ///< per rank
  std::uint64_t memory = 0;           ///< bytes per rank; 0: none in particular
  std::vector<std::string> after;     ///< ids of tasks that must be done first
  std::vector<std::string> services;  ///< names of services that must be ready first
  std::vector<File> inputs;
  std::vector<File> outputs;
  std::chrono::nanoseconds timeout{0};  ///< of one attempt; 0: none
  unsigned retries = 0;
  int priority = 0;  ///< higher first
};

/// How a task ended.
struct TaskResult {
  enum class State { done, failed, cancelled, skipped };
  State state = State::done;
  int exit_code = 0;  ///< of its last attempt; 127: not found, 128+n: signal n
  unsigned attempts = 0;
  std::string reason;  ///< in words, where it is not done
  std::string folder;  ///< of its last attempt: `stdout` and `stderr` are in it

  bool ok() const { return state == State::done; }
};

}  // namespace trireme
