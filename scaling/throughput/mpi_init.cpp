// How long MPI itself takes to start: prints the wall-clock time in nanoseconds at which MPI_Init had returned.
#include <mpi.h>

#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::printf("%lld\n", static_cast<long long>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
  MPI_Finalize();
  return 0;
}
