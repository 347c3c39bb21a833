// A stand-in for a rank, to be killed, or to be started by a real launcher.
//
//   spawner_test_rank SPAWNER RUN_ID hold  SCRIPT…   starts each script as a task; says "ready SPAWNER_PID" and stays
//   spawner_test_rank SPAWNER RUN_ID leaky SCRIPT…   the same, with a forked child that keeps a copy of every descriptor;
//                                                    says "ready SPAWNER_PID CHILD_PID"
//   spawner_test_rank SPAWNER RUN_ID task  COMMAND…  runs one command in a scrubbed environment; its exit code is ours
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "node/spawner/client.hpp"
#include "node/spawner/environment.hpp"

extern "C" char** environ;

int main(int argc, char** argv) {
  using namespace trireme;
  if (argc < 5) return 2;
  const std::string_view mode = argv[3];
  const std::vector<std::string> words(argv + 4, argv + argc);
  boost::asio::io_context loop;
  int code = 99;
  std::size_t started = 0;
  SpawnerClient* client = nullptr;

  SpawnerClient::Options options;
  options.program = argv[1];
  SpawnerClient::Handlers handlers;
  handlers.on_started = [&](const auto&) {
    if (mode == "task" || ++started < words.size()) return;
    const pid_t child = mode == "leaky" ? ::fork() : -1;
    if (child == 0) {
      for (;;) ::pause();
    }
    std::printf("ready %d %d\n", client->pid(), child);
    std::fflush(stdout);
  };
  handlers.on_failed = [&](const spawner::Failed& failed) {
    std::fprintf(stderr, "%s\n", failed.text.c_str());
    loop.stop();
  };
  handlers.on_ended = [&](const spawner::Ended& ended) {
    code = ended.signo != 0 ? 128 + ended.signo : ended.exit_code;
    loop.stop();
  };
  handlers.on_lost = [&](const Error& error) {
    std::fprintf(stderr, "%s\n", error.text().c_str());
    loop.stop();
  };
  auto made = SpawnerClient::start(loop, std::move(options), std::move(handlers));
  if (!made) return 3;
  client = made->get();

  SpawnRequest request;
  request.env = scrub(environ);
  request.env.push_back("TRIREME_RUN_ID=" + std::string(argv[2]));
  if (mode == "task") {
    request.argv = words;
    request.stdout_path = "/proc/" + std::to_string(::getpid()) + "/fd/1";
    request.stderr_path = "/proc/" + std::to_string(::getpid()) + "/fd/2";
    request.append = true;
    if (!client->spawn(request)) return 4;
  } else {
    for (const auto& script : words) {
      ++request.id;
      request.argv = {"sh", "-c", script};
      if (!client->spawn(request)) return 4;
    }
  }
  loop.run();
  return code;
}
