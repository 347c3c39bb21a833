// One task at a time through the C++ API: prints, for each, its id and the wall-clock time in nanoseconds at which it was
// submitted; the event log of the run says when it started.
//
//   single_task RUN_DIR COUNT
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "trireme/runtime.hpp"

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  trireme::RuntimeOptions options;
  options.run_dir = argc > 1 ? argv[1] : "";
  const int count = argc > 2 ? std::atoi(argv[2]) : 20;
  const auto summary = trireme::run(MPI_COMM_WORLD, options, [count](trireme::Session& session) -> trireme::Status {
    for (int i = 0; i < count; ++i) {
      // The runtime is to be idle when the task comes: longer than its longest sleep between two looks at MPI.
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      trireme::Task task;
      task.id = "single-" + std::to_string(i);
      task.command = {"/bin/true"};
      const auto now = std::chrono::system_clock::now().time_since_epoch();
      auto handle = session.submit(task);
      if (!handle) return handle.error();
      auto result = session.wait(*handle);
      if (!result) return result.error();
      std::printf("%s %lld\n", task.id.c_str(),
                  static_cast<long long>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
    }
    return {};
  });
  if (!summary) {
    std::fprintf(stderr, "%s\n", summary.error().text().c_str());
    MPI_Abort(MPI_COMM_WORLD, trireme::to_int(summary.error().code));
  }
  MPI_Finalize();
  return trireme::to_int(summary->exit_code);
}
