// trireme-pmix: the PMIx server of one host, for the MPI tasks of all agents there.
//
// Started by an agent through its spawner, connected to it at descriptor 3. It lives until that connection ends, whoever ended
// it, and then removes what it has made; TERM is ignored, so that this is so when the rank has died as well. All of libpmix is in
// this process: if it crashes, the MPI tasks of this host fail and nothing else, and its log tells where it was.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>

#include "launch/pmix/server/channel.hpp"
#include "launch/pmix/server/last_words.hpp"
#include "launch/pmix/server/memory_folder.hpp"
#include "launch/pmix/server/server.hpp"
#include "launch/spawner/protocol.hpp"

namespace {

namespace fs = std::filesystem;

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
  // libpmix writes to ranks that may have died.
  ::signal(SIGPIPE, SIG_IGN);
  trireme::pmix::say_last_words();
  trireme::pmix::Channel agent(trireme::spawner::connection_descriptor);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    agent.send(trireme::pmix::Ready{"cannot make " + folder + ": " + failed.message()});
    return 1;
  }
  const trireme::pmix::MemoryFolder memory;
  serve(agent, folder, memory.path(), argv[2]);
  fs::remove_all(folder, failed);
  return 0;
}
