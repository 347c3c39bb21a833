// The bare loop that Trireme's task rate is compared with: the same set-up for each process (a folder, two files, an
// affinity) and posix_spawn, with a fixed number in flight.
//
//   bare_spawn FOLDER TASKS IN_FLIGHT PROGRAM    prints the seconds that it took
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

extern char** environ;

static int failed(const char* what) {
  std::perror(what);
  return 4;
}

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bare_spawn FOLDER TASKS IN_FLIGHT PROGRAM\n");
    return 2;
  }
  const std::string root = argv[1];
  const int tasks = std::atoi(argv[2]);
  const int in_flight = std::atoi(argv[3]);
  char* const command[] = {argv[4], nullptr};
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);

  const auto begin = std::chrono::steady_clock::now();
  int running = 0;
  for (int i = 0; i < tasks || running > 0;) {
    if (i < tasks && running < in_flight) {
      const std::string folder = root + "/" + std::to_string(i);
      if (mkdir(folder.c_str(), 0777) != 0 || mkdir((folder + "/0").c_str(), 0777) != 0) return failed(folder.c_str());
      posix_spawn_file_actions_t files;
      posix_spawn_file_actions_init(&files);
      posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
      posix_spawn_file_actions_addopen(&files, 1, (folder + "/0/stdout").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
      posix_spawn_file_actions_addopen(&files, 2, (folder + "/0/stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
      pid_t child = 0;
      errno = posix_spawn(&child, argv[4], &files, nullptr, command, environ);
      if (errno != 0) return failed(argv[4]);
      posix_spawn_file_actions_destroy(&files);
      cpu_set_t cpu;
      CPU_ZERO(&cpu);
      CPU_SET(i % cores, &cpu);
      sched_setaffinity(child, sizeof cpu, &cpu);  // the child may have ended already
      ++i;
      ++running;
    } else {
      if (wait(nullptr) < 0) return failed("wait");
      --running;
    }
  }
  std::printf("%.6f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return 0;
}
