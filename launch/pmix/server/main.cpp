// trireme-pmix: the PMIx server of one host, for the MPI tasks of all agents there.
//
// Started by an agent through its spawner, connected to it at descriptor 3. It lives until that connection ends, whoever ended
// it, and then removes what it has made; TERM is ignored, so that this is so when the rank has died as well. All of libpmix is in
// this process: if it crashes, the MPI tasks of this host fail and nothing else.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "launch/pmix/server/channel.hpp"
#include "launch/pmix/server/server.hpp"
#include "launch/spawner/protocol.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder for the shared memory of tasks, or empty where there is none to be had.
std::string make_memory_folder() {
  std::string name = "/dev/shm/trireme-" + std::to_string(::getuid()) + "-XXXXXX";
  return ::mkdtemp(name.data()) != nullptr ? name : "";
}

void serve(trireme::pmix::Channel& agent, const std::string& folder, const std::string& memory_folder,
           const std::string& host) {
  trireme::pmix::Server server(agent, folder, memory_folder);
  const auto started = server.start(host);
  agent.send(trireme::pmix::Ready{started.ok() ? "" : started.error().text()});
  if (!started.ok()) return;
  while (auto request = agent.receive()) server.handle(std::move(*request));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("trireme-pmix is started by trireme: trireme-pmix FOLDER HOST\n", stderr);
    return 2;
  }
  const std::string folder = argv[1];
  ::signal(SIGTERM, SIG_IGN);
  trireme::pmix::Channel agent(trireme::spawner::connection_descriptor);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    agent.send(trireme::pmix::Ready{"cannot make " + folder + ": " + failed.message()});
    return 1;
  }
  const std::string memory_folder = make_memory_folder();
  serve(agent, folder, memory_folder, argv[2]);
  fs::remove_all(folder, failed);
  if (!memory_folder.empty()) fs::remove_all(memory_folder, failed);
  return 0;
}
