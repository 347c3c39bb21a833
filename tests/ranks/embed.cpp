// An MPI code that embeds the runtime: half of its ranks run a task and a service, the other half compute meanwhile; then all go on
// together.
#include <cstdio>
#include <trireme/runtime.hpp>

static trireme::Status drive(trireme::Session& session) {
  trireme::Service files;
  files.name = "files";
  files.command = {"/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"};
  if (auto started = session.start(files); !started) return started.error();
  auto task = session.submit({.id = "hello", .command = {"/bin/echo", "hello"}, .services = {"files"}});
  if (!task) return task.error();
  auto result = session.wait(*task);
  if (!result) return result.error();
  auto answer = session.client().request("files", "GET", "/");
  if (!answer) return answer.error();
  std::printf("task: exit %d; service: %d\n", result->exit_code, answer->status);
  return {};
}

int main(int argc, char** argv) {
  int provided = 0, rank = 0, size = 0, code = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const bool serves = rank < (size + 1) / 2;
  MPI_Comm half;
  MPI_Comm_split(MPI_COMM_WORLD, serves, rank, &half);
  double sum = 0, mine = rank;
  if (serves) {
    const auto summary = trireme::run(half, {.run_dir = argv[1]}, drive);
    code = trireme::to_int(summary ? summary->exit_code : summary.error().code);
    if (!summary) std::fprintf(stderr, "%s\n", summary.error().text().c_str());
    if (summary && summary->error) std::fprintf(stderr, "%s\n", summary->error->text().c_str());
    if (summary && !summary->may_finalize) MPI_Abort(MPI_COMM_WORLD, code);
  } else {
    for (int i = 0; i < 1000; ++i) MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, half);
  }
  MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  if (rank == 0) std::printf("together: %g\n", sum);
  MPI_Finalize();
  return code;
}
