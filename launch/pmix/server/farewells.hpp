// Answers a rank's goodbye (PMIx_Finalize) a moment after it was said.
//
// Open MPI 4.1 unloads its PMIx component as soon as it has that answer, while another thread of the rank may still have an event
// to run there, of what the rank sent just before: then the rank ends by SIGSEGV in MPI_Finalize. The moment lets that thread have
// its turn, and is as many times as long as there are threads for each core. (By itself libpmix gives it 40 ms: TCP's delayed
// acknowledgement, which guard.cpp does away with.)
//
// add() is called on libpmix's thread, forget() on the server's; the answers go out on a thread of this object's own.
#pragma once

#include <pmix_server.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace trireme::pmix {

class Farewells {
 public:
  Farewells();
  ~Farewells();
  Farewells(const Farewells&) = delete;
  Farewells& operator=(const Farewells&) = delete;

  void add(std::string space, pmix_op_cbfunc_t answer, void* argument);
  /// libpmix is about to free what the answers of this namespace are about: none will be given after the call.
  void forget(std::string_view space);
  /// The same for all, for good.
  void close();

 private:
  struct Farewell {
    std::chrono::steady_clock::time_point due;
    std::string space;
    pmix_op_cbfunc_t answer;
    void* argument;
  };
  void run();

  std::mutex mutex_;  ///< held while an answer is given, which libpmix only puts into its queue
  std::condition_variable changed_;
  std::deque<Farewell> waiting_;  ///< in the order in which they are due; at most one of each rank
  bool over_ = false;
  std::thread thread_;  ///< the last: it runs with all of the above
};

}  // namespace trireme::pmix
