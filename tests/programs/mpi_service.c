/* An MPI program that is a server: mpi_service PORT. Rank 0 answers HTTP requests on PORT of loopback, and asks all ranks for each:
 *
 *   GET /            200, once all ranks have come through a barrier
 *   GET /pids        "SIZE PID PID …", of the ranks in order
 *   GET /exit/K/C    rank K exits with code C
 *
 * Ranks that wait for work do not spin: a test machine has more ranks than cores. */
#include <arpa/inet.h>
#include <mpi.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { nothing, pids, leave };

/* Tells all ranks what to do: {what, who, code}. */
static void tell(int order[3]) {
  MPI_Request request;
  int done = 0;
  MPI_Ibcast(order, 3, MPI_INT, 0, MPI_COMM_WORLD, &request);
  for (MPI_Test(&request, &done, MPI_STATUS_IGNORE); !done; MPI_Test(&request, &done, MPI_STATUS_IGNORE)) usleep(2000);
}

/* What all ranks do with an order; rank 0 gets the answer. */
static void carry_out(const int order[3], int rank, int size, char* answer, size_t room) {
  if (order[0] == leave && order[1] == rank) _exit(order[2]);
  if (order[0] != pids) return;
  int own = (int)getpid();
  int* all = calloc((size_t)size, sizeof(int));
  MPI_Gather(&own, 1, MPI_INT, all, 1, MPI_INT, 0, MPI_COMM_WORLD);
  if (rank == 0) {
    int length = snprintf(answer, room, "%d", size);
    for (int i = 0; i < size; ++i) length += snprintf(answer + length, room - (size_t)length, " %d", all[i]);
  }
  free(all);
}

static void serve(int port, int size) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(listener, 16) != 0) {
    perror("listen");
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  for (;;) {
    const int client = accept(listener, NULL, NULL);
    char request[4096] = "";
    const ssize_t got = recv(client, request, sizeof(request) - 1, 0);
    if (got <= 0) {
      close(client);
      continue;
    }
    int order[3] = {nothing, 0, 0};
    if (strncmp(request, "GET /pids", 9) == 0) order[0] = pids;
    if (sscanf(request, "GET /exit/%d/%d", &order[1], &order[2]) == 2) order[0] = leave;
    char body[2048] = "ok";
    tell(order);
    carry_out(order, 0, size, body, sizeof(body));
    char answer[4096];
    const int length =
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 strlen(body), body);
    if (send(client, answer, (size_t)length, MSG_NOSIGNAL) < 0) perror("send");
    close(client);
  }
}

int main(int argc, char** argv) {
  int rank = 0, size = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) serve(atoi(argv[1]), size);
  for (;;) {
    int order[3] = {nothing, 0, 0};
    tell(order);
    carry_out(order, rank, size, NULL, 0);
  }
}
