// Services, as a C++ program describes them: servers that the runtime starts, watches and balances requests over.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trireme {

/// Texts may hold placeholders, as in the workflow file.
struct Service {
  std::string name{};                  ///< unique; requests reach it at /services/NAME/… of each node's proxy
  std::vector<std::string> command{};  ///< may hold {port}, {socket}, {key}, {replica}, {rank}, {head}, {head_port}; or
  std::string script{};                ///< a bash script
  std::map<std::string, std::string> env{};
  unsigned replicas = 1;
  unsigned ranks = 1;           ///< processes of each replica, behind one endpoint: rank 0 answers requests
  unsigned ranks_per_node = 0;  ///< exactly so many on a node, fewer on the last; 0: as they fit
  bool mpi = false;             ///< they are the ranks of one MPI program, of whichever MPI
  unsigned cores = 1;           ///< per rank; 0 for services that mostly wait
  double gpus = 0;              ///< per rank; a fraction shares a GPU
  std::uint64_t memory = 0;     ///< bytes per rank; 0: none in particular
  std::string ready_http{};     ///< path that answers 2xx once a replica is ready; empty: ready when its port accepts
  std::chrono::nanoseconds ready_timeout = std::chrono::minutes(5);
  unsigned concurrency = 16;  ///< requests in flight per replica; the rest queue
  unsigned queue = 1024;      ///< beyond it requests are refused
  bool retry_always = false;  ///< requests may be sent again even if a lost replica may have seen them
};

}  // namespace trireme
