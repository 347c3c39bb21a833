// An MPI program as a task: what it does is said by its arguments. Built with each MPI that is installed.
//
//   mpi_task sum                every rank gives its number to an allreduce and passes a token around a ring; rank 0 prints
//                               "ranks N sum S ring R"
//   mpi_task abort RANK CODE    that rank calls MPI_Abort, the others wait in a barrier
//   mpi_task crash RANK         that rank dies of SIGSEGV inside MPI, the others wait
//   mpi_task crash-early RANK   the same before MPI_Init
//   mpi_task leave RANK         that rank exits with 0 inside MPI, the others wait
//   mpi_task leave-early RANK   the same before MPI_Init
//   mpi_task sleep              all wait in a barrier that rank 0 never enters, until they are ended
//   mpi_task load               nothing: it ends before MPI_Init, and shows what loading the program costs
//   mpi_task time               rank 0 prints the seconds from entering MPI_Init to leaving MPI_Finalize
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void crash(int rank) {
  fprintf(stderr, "rank %d is about to crash\n", rank);
  signal(SIGSEGV, SIG_DFL);
  raise(SIGSEGV);
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "sum";
  const int culprit = argc > 2 ? atoi(argv[2]) : -1;
  const char* own = getenv("TRIREME_RANK");
  if (own != NULL && atoi(own) == culprit) {
    if (strcmp(what, "crash-early") == 0) crash(culprit);
    if (strcmp(what, "leave-early") == 0) return 0;
  }
  if (strcmp(what, "load") == 0) {
    if (own == NULL || atoi(own) == 0) printf("seconds 0\n");
    return 0;
  }
  const double before = now();
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (rank == culprit) {
    if (strcmp(what, "abort") == 0) {
      fprintf(stderr, "rank %d gives up\n", rank);
      MPI_Abort(MPI_COMM_WORLD, argc > 3 ? atoi(argv[3]) : 1);
    }
    if (strcmp(what, "crash") == 0) crash(rank);
    if (strcmp(what, "leave") == 0) _exit(0);
  }
  if (strcmp(what, "sleep") == 0) {
    printf("rank %d waits\n", rank);
    fflush(stdout);
    if (rank == 0) pause();
    MPI_Barrier(MPI_COMM_WORLD);
  } else if (strcmp(what, "sum") == 0 || strcmp(what, "time") == 0) {
    int sum = 0, token = 0;
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0 && size > 1) {
      MPI_Send(&token, 1, MPI_INT, 1, 0, MPI_COMM_WORLD);
      MPI_Recv(&token, 1, MPI_INT, size - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else if (size > 1) {
      MPI_Recv(&token, 1, MPI_INT, rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      token += 1;
      MPI_Send(&token, 1, MPI_INT, (rank + 1) % size, 0, MPI_COMM_WORLD);
    }
    if (rank == 0) printf("ranks %d sum %d ring %d\n", size, sum, token);
    fflush(stdout);
  } else {
    MPI_Barrier(MPI_COMM_WORLD);
  }
  MPI_Finalize();
  if (rank == 0 && strcmp(what, "time") == 0) printf("seconds %.6f\n", now() - before);
  return 0;
}
