// The PMIx server itself: namespaces, their ranks, and what libpmix asks of its host.
//
// Requests of the agent come on the main thread. libpmix calls back on a thread of its own; such a call becomes a message to the
// agent and is answered when the agent's answer comes. What both threads touch (calls under way, attendance) is behind one
// mutex, which is never held while libpmix is called. Goodbyes of ranks are answered on a third thread (farewells.hpp).
//
// libpmix's functions for its host have no argument of ours, so the one server of the process is reached through a pointer
// that is set before libpmix begins and cleared after it has ended.
#pragma once

#include <pmix_server.h>

#include <map>
#include <mutex>
#include <string>

#include "core/result.hpp"
#include "launch/pmix/protocol.hpp"
#include "launch/pmix/server/channel.hpp"
#include "launch/pmix/server/farewells.hpp"
#include "launch/wireup/attendance.hpp"

namespace trireme::pmix {

class Server {
 public:
  /// `folder` is the server's own, for its sockets and files; `memory_folder` holds the tasks' shared memory, or is empty.
  Server(Channel& agent, std::string folder, std::string memory_folder);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Status start(const std::string& host);
  void handle(ToServer request);

 private:
  struct Space {
    std::string folder;
    std::string memory_folder;
    wireup::Attendance attendance;
    bool told_broken = false;
  };
  /// A call of libpmix that waits for the agent.
  struct Call {
    pmix_modex_cbfunc_t answer;
    void* argument;
    std::string space;
  };

  void on(Open& request);
  void on(Close& request);
  void on(Left& request);
  void on(FenceDone& request);
  void on(Fetch& request);
  void on(ModexDone& request);

  Status open(const Open& request, const Space& space, std::vector<RankEnvironment>& environment);
  std::uint64_t keep(Call call);
  void answer(std::uint64_t call, pmix_status_t status, const std::string& bytes);
  /// What changes a namespace's attendance, and tells the agent if now somebody is missed.
  template <typename Change>
  void attend(const std::string& name, const Change& change);

  // On libpmix's thread.
  static pmix_status_t on_connected(const pmix_proc_t* rank, void* object, pmix_info_t* info, std::size_t count,
                                    pmix_op_cbfunc_t done, void* argument);
  static pmix_status_t on_finalized(const pmix_proc_t* rank, void* object, pmix_op_cbfunc_t done, void* argument);
  static pmix_status_t on_abort(const pmix_proc_t* rank, void* object, int status, const char* text, pmix_proc_t* ranks,
                                std::size_t count, pmix_op_cbfunc_t done, void* argument);
  static pmix_status_t on_fence(const pmix_proc_t* ranks, std::size_t count, const pmix_info_t* info,
                                std::size_t info_count, char* data, std::size_t size, pmix_modex_cbfunc_t done,
                                void* argument);
  static pmix_status_t on_modex(const pmix_proc_t* rank, const pmix_info_t* info, std::size_t count,
                                pmix_modex_cbfunc_t done, void* argument);
  static void on_fetched(pmix_status_t status, char* data, std::size_t size, void* argument);

  static Server* instance_;

  Channel& agent_;
  const std::string folder_;
  const std::string memory_folder_;
  bool running_ = false;
  std::mutex mutex_;
  std::map<std::string, Space> spaces_;
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t last_call_ = 0;
  Farewells farewells_;
};

}  // namespace trireme::pmix
