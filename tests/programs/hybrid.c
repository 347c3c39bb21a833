// MPI ranks with OpenMP threads: prints "ranks N threads T", T as the runtime has set it for the rank's cores.
#include <mpi.h>
#include <omp.h>
#include <stdio.h>

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int rank = 0, size = 1, threads = 0, all = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
#pragma omp parallel reduction(+ : threads)
  threads += 1;
  MPI_Reduce(&threads, &all, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("ranks %d threads %d\n", size, all);
  MPI_Finalize();
  return 0;
}
