// Tasks, as a C++ program describes them. docs/spec/workflow.md says what each property means; defaults are those of the
// workflow file.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trireme {

/// A file or folder that goes into a task's folder before it starts, or out of it when it has ended well. It is copied.
struct File {
  /// Of an input: a path, from the program's working folder, or a URL. Of an output: a path in the task's folder.
  std::string from{};
  /// Of an input: a path in the task's folder; empty: by its own name. Of an output: a path; empty: it only must be there.
  std::string to{};
};

/// Texts may hold {task_dir}, {run_dir} and the other placeholders of the workflow file; a literal brace is doubled.
struct Task {
  std::string id{};                    ///< unique in the run; not empty
  std::vector<std::string> command{};  ///< program (with a slash: from the program's working folder) and arguments; or
  std::string script{};                ///< a bash script
  std::map<std::string, std::string> env{};  ///< added to the environment of the rank that runs it
  std::string cwd{};                         ///< empty: a folder of its own in the run directory
  unsigned ranks = 1;                        ///< processes
  bool mpi = false;                          ///< they are the ranks of one MPI program, of whichever MPI
  unsigned cores = 1;                        ///< per rank, which is pinned to them
  double gpus = 0;                           ///< per rank; whole ones, or a fraction of one, which is shared
  std::uint64_t memory = 0;                  ///< bytes per rank; 0: none in particular
  std::vector<std::string> after{};          ///< ids of tasks that must be done first
  std::vector<std::string> services{};       ///< names of services that must be ready first
  std::vector<File> inputs{};
  std::vector<File> outputs{};
  std::chrono::nanoseconds timeout{0};  ///< of one attempt; 0: none
  unsigned retries = 0;                 ///< attempts after the first that fails
  int priority = 0;                     ///< higher first
};

/// How a task ended.
struct TaskResult {
  enum class State {
    done,
    failed,
    cancelled,
    skipped,     ///< never run: a task that it comes after, or a service, failed
    unfinished,  ///< it is not final yet: only from a wait() that was given a deadline
  };
  State state = State::done;
  int exit_code = 0;  ///< of its last attempt; 127: not found, 128+n: signal n
  unsigned attempts = 0;
  std::string reason{};  ///< in words, where it is not done
  std::string folder{};  ///< of its last attempt: `stdout` and `stderr` are in it

  bool ok() const { return state == State::done; }
};

}  // namespace trireme
