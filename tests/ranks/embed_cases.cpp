// What an MPI program that embeds the runtime may rely on, in one process per rank: misuse is told to every rank and does no harm,
// runs may follow each other, and nothing of a run stays behind. Run with 3 ranks: embed_cases FOLDER, or with
// 2: embed_cases --single (MPI_Init instead of MPI_Init_thread), or --long FOLDER (until somebody ends it).
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "trireme/runtime.hpp"

extern "C" char** environ;

namespace {

using trireme::ExitCode;
using trireme::Result;
using trireme::RunSummary;
using trireme::Session;
using trireme::Status;

int failures = 0;
int world_rank = -1;

void check(bool holds, const std::string& promise, const std::string& instead = "") {
  if (holds) return;
  ++failures;
  std::fprintf(stderr, "rank %d: not so: %s%s%s\n", world_rank, promise.c_str(), instead.empty() ? "" : ": ",
               instead.c_str());
}

std::string text_of(const Result<RunSummary>& end) {
  if (!end) return "error: " + end.error().text();
  return "exit code " + std::to_string(trireme::to_int(end->exit_code)) + (end->error ? ", " + end->error->text() : "");
}

/// One task that must be done.
Status hello(Session& session) {
  auto task = session.submit({.id = "hello", .command = {"/bin/echo", "hello"}});
  if (!task) return task.error();
  auto result = session.wait(*task);
  if (!result) return result.error();
  return result->ok() ? Status{} : Status{trireme::Error{result->reason}};
}

void refused(const Result<RunSummary>& end, const std::string& words, ExitCode code = ExitCode::usage) {
  check(!end && end.error().code == code && end.error().text().find(words) != std::string::npos, "refused: " + words,
        text_of(end));
}

void done(const Result<RunSummary>& end, const std::string& promise) {
  check(end && end->ok() && end->may_finalize && !end->error, promise, text_of(end));
}

std::vector<std::string> entries(const char* folder) {
  std::set<std::string> names;
  DIR* open = ::opendir(folder);
  while (const dirent* entry = ::readdir(open)) names.insert(entry->d_name);
  ::closedir(open);
  return {names.begin(), names.end()};
}

/// What a library must leave as it found it.
struct Surroundings {
  std::vector<std::string> environment;
  std::string signals;  ///< dispositions and this thread's mask
  cpu_set_t cpus{};
  std::size_t threads = entries("/proc/self/task").size();
  std::size_t descriptors = entries("/proc/self/fd").size();
  std::string folder;

  Surroundings() {
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (int number = 1; number < NSIG; ++number) {
      struct sigaction action {};
      if (::sigaction(number, nullptr, &action) != 0) continue;
      signals += std::to_string(reinterpret_cast<std::uintptr_t>(action.sa_sigaction)) +
                 (::sigismember(&mask, number) == 1 ? "! " : " ");
    }
    ::sched_getaffinity(0, sizeof cpus, &cpus);
    char path[4096];
    folder = ::getcwd(path, sizeof path);
  }
};

void compare(const Surroundings& before, const Surroundings& after) {
  check(before.environment == after.environment, "the environment stays as it was");
  check(before.signals == after.signals, "signal handlers and mask stay as they were",
        before.signals + " / " + after.signals);
  check(CPU_EQUAL(&before.cpus, &after.cpus), "the calling thread keeps its cores");
  check(before.threads == after.threads, "no thread stays behind",
        std::to_string(before.threads) + " / " + std::to_string(after.threads));
  check(before.descriptors == after.descriptors, "no descriptor stays open",
        std::to_string(before.descriptors) + " / " + std::to_string(after.descriptors));
  check(before.folder == after.folder, "the working folder stays");
}

void misuse_of_mpi() {
  refused(trireme::run(MPI_COMM_NULL, {}, hello), "MPI_COMM_NULL");

  MPI_Comm side = MPI_COMM_NULL;
  MPI_Comm both = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, world_rank == 0 ? 0 : 1, world_rank, &side);
  MPI_Intercomm_create(side, 0, MPI_COMM_WORLD, world_rank == 0 ? 1 : 0, 1, &both);
  refused(trireme::run(both, {}, hello), "intercommunicator");
  MPI_Comm_free(&both);
  MPI_Comm_free(&side);

  std::thread([] { refused(trireme::run(MPI_COMM_WORLD, {}, hello), "only the thread that initialised MPI"); }).join();
}

/// Mistakes of one rank are every rank's error, so that none waits for another for ever.
void mistakes_of_one_rank(const std::string& folder) {
  trireme::RuntimeOptions options;
  options.run_dir = folder + "/never";
  refused(trireme::run(MPI_COMM_WORLD, options, world_rank == 0 ? trireme::Driver() : hello), "no driver");

  options.log_level = world_rank == 1 ? "loud" : "warn";
  refused(trireme::run(MPI_COMM_WORLD, options, hello), "rank 1: \"loud\" is no log level");
  options.log_level = "warn";

  const char* earlier = ::getenv("TRIREME_SPAWNER");
  const std::string spawner = earlier == nullptr ? "" : earlier;
  if (world_rank == 2) ::setenv("TRIREME_SPAWNER", "/nowhere", 1);
  refused(trireme::run(MPI_COMM_WORLD, options, hello), "rank 2: TRIREME_SPAWNER names '/nowhere'",
          ExitCode::runtime_failed);
  if (world_rank == 2)
    earlier == nullptr ? ::unsetenv("TRIREME_SPAWNER") : ::setenv("TRIREME_SPAWNER", spawner.c_str(), 1);
}

void runs_of_all_kinds(const std::string& folder) {
  done(trireme::run(MPI_COMM_SELF, {.run_dir = folder + "/alone-" + std::to_string(world_rank)}, hello),
       "each rank may have a run of its own");

  // The first rank's name and folder are the run's; what a rank has to give is its own.
  trireme::RuntimeOptions options;
  options.run_dir = folder + (world_rank == 0 ? "/shared" : "/elsewhere");
  options.worker_cores = world_rank == 1 ? 2 : 1;
  const auto wide = [](Session& session) -> Status {
    auto task = session.submit({.id = "wide", .command = {"/bin/true"}, .cores = 2});
    if (!task) return task.error();
    auto result = session.wait(*task);
    return result ? Status{} : Status{result.error()};
  };
  const auto shared = trireme::run(MPI_COMM_WORLD, options, wide);
  done(shared, "ranks may differ in what they have to give");
  check(shared && shared->run_dir == folder + "/shared", "the first rank says where", text_of(shared));

  refused(trireme::run(MPI_COMM_WORLD, {.run_dir = folder + "/shared"}, hello), folder + "/shared");

  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignore, &before);
  done(trireme::run(MPI_COMM_WORLD, {.run_dir = folder + "/children"}, hello), "the program may ignore its children");
  ::sigaction(SIGCHLD, &before, nullptr);
}

void runs_that_fail(const std::string& folder) {
  const auto end_of = [&](const char* name, const trireme::Driver& driver) {
    return trireme::run(MPI_COMM_WORLD, {.run_dir = folder + "/" + name}, driver);
  };
  const auto ended = [](const Result<RunSummary>& end, ExitCode code, const std::string& error,
                        const std::string& promise) {
    const bool first = world_rank == 0;
    const std::string why = end && end->error ? end->error->text() : "";
    check(end && end->may_finalize && (!first || (end->exit_code == code && why == error)), promise, text_of(end));
  };
  ended(end_of("thrown", [](Session&) -> Status { throw std::runtime_error("thrown by the driver"); }),
        ExitCode::failed, "thrown by the driver", "what a driver throws is its error");
  ended(end_of("given-up",
               [](Session& session) -> Status {
                 auto task = session.submit({.id = "long", .command = {"/bin/sleep", "1000"}});
                 if (!task) return task.error();
                 return trireme::Error{.what = "given up", .code = ExitCode::drained};
               }),
        ExitCode::drained, "given up", "a driver's error ends what still runs");
  ended(end_of("failed",
               [](Session& session) -> Status {
                 auto task = session.submit({.id = "false", .command = {"/bin/false"}});
                 if (!task) return task.error();
                 auto patient = session.submit({.id = "patient", .command = {"/bin/sleep", "1000"}});
                 if (!patient) return patient.error();
                 auto early = session.wait(*patient, std::chrono::milliseconds(1));
                 check(early && !early->ok() && early->state == trireme::TaskResult::State::unfinished,
                       "a deadline ends a wait, not the task");
                 if (auto cancelled = session.cancel(*patient); !cancelled) return cancelled;
                 auto over = session.wait(*patient);
                 check(over && over->state == trireme::TaskResult::State::cancelled, "it can be waited for again");
                 check(!session.wait(trireme::TaskHandle{999}), "there are no other tasks");
                 auto result = session.wait(*task, std::chrono::nanoseconds::max());
                 check(result && !result->ok() && result->exit_code == 1, "a task that fails says so");
                 return {};
               }),
        ExitCode::failed, "", "a failed task is no error of the runtime");
}

/// Runs until somebody ends it.
int for_ever(const std::string& folder) {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  const auto end = trireme::run(MPI_COMM_WORLD, {.run_dir = folder}, [](Session& session) -> Status {
    auto task = session.submit({.id = "long", .command = {"/bin/sleep", "1000"}});
    return task ? Status{} : Status{task.error()};
  });
  MPI_Finalize();
  return end && end->ok() ? 0 : 1;
}

int of_one_thread() {
  MPI_Init(nullptr, nullptr);
  MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
  int level = 0;
  MPI_Query_thread(&level);
  if (level == MPI_THREAD_SINGLE) refused(trireme::run(MPI_COMM_WORLD, {}, hello), "MPI_THREAD_SINGLE");
  MPI_Finalize();
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  refused(trireme::run(MPI_COMM_WORLD, {}, hello), "MPI is not initialised");
  if (folder == "--single") return of_one_thread();
  if (folder == "--long") return for_ever(argv[2]);
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);

  misuse_of_mpi();
  mistakes_of_one_rank(folder);
  runs_of_all_kinds(folder);
  const Surroundings before;  // MPI has made what it makes for the first messages
  runs_that_fail(folder);
  done(trireme::run(MPI_COMM_WORLD, {.run_dir = folder + "/last"}, hello), "runs may follow each other");
  compare(before, Surroundings());

  MPI_Finalize();
  refused(trireme::run(MPI_COMM_WORLD, {}, hello), "MPI has been finalised");
  return failures == 0 ? 0 : 1;
}
