// trireme-dvm: asks a PMIx runtime to start the ranks of a task.
//
//   trireme-dvm spawn URI HOST:COUNT… -- COMMAND…   starts COMMAND once per rank, in the order of hosts, and waits for TERM; with an
//                                                   empty URI it asks the runtime whose client its environment (PMIX_*) says it is,
//                                                   else it is a tool of the runtime at URI
//   trireme-dvm settle                              for a client that is gone: says hello and goodbye to its server
//
// A process for each task, as with srun: what libpmix or the runtime do to it (a hang, a crash, a lost connection) is the end of one
// task. No end of the task is read from the runtime's events, which can be lost; the shims in front of the ranks tell it. Where the
// runtime ends a tool's jobs with the tool, those that are just ending elsewhere are waited for a little. Every call has a deadline,
// kept by a thread that ends the process. What is tried again is what has started nothing: connecting, and a spawn for which there
// was no room.
#include <pmix.h>
#include <pmix_tool.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/defaults.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;
using trireme::defaults::step_timeout;

constexpr auto connect_timeout = 30s;
constexpr auto settle_timeout = 5s;
constexpr auto job_end_wait = 2s;  // shorter than the grace between TERM and KILL
constexpr auto retry_pause = 50ms;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "trireme: %s\n", what.c_str());
  std::fflush(stderr);
  std::_Exit(1);
}

/// Ends the process where what it is made for takes too long.
class Watchdog {
 public:
  Watchdog(std::string what, std::chrono::seconds limit)
      : thread_([this, what = std::move(what), limit](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          if (!wake_.wait_for(lock, stop, limit, [&stop] { return stop.stop_requested(); })) {
            fail(what + ": no answer within " + std::to_string(limit.count()) + " s");
          }
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

struct Group {
  std::string host;
  int ranks = 0;
};

struct Arguments {
  std::string uri;
  std::vector<Group> groups;
  std::vector<std::string> command;
};

std::optional<Arguments> read_arguments(int argc, char** argv) {
  if (argc < 5) return std::nullopt;
  Arguments out{argv[2], {}, {}};
  int at = 3;
  for (; at < argc && std::string_view(argv[at]) != "--"; ++at) {
    const std::string_view group = argv[at];
    const auto colon = group.rfind(':');
    Group one;
    if (colon == std::string_view::npos) return std::nullopt;
    one.host = group.substr(0, colon);
    const auto [end, error] = std::from_chars(group.data() + colon + 1, group.data() + group.size(), one.ranks);
    if (error != std::errc{} || end != group.data() + group.size() || one.ranks < 1) return std::nullopt;
    out.groups.push_back(std::move(one));
  }
  if (at < argc) out.command.assign(argv + at + 1, argv + argc);
  if (out.groups.empty() || out.command.empty()) return std::nullopt;
  return out;
}

/// Attributes that free themselves.
class Attributes {
 public:
  Attributes() = default;
  ~Attributes() {
    for (pmix_info_t& one : entries_) PMIX_INFO_DESTRUCT(&one);
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  void add(const char* key, const std::string& text) { load(key, text.c_str(), PMIX_STRING); }
  void add_flag(const char* key) {
    const bool yes = true;
    load(key, &yes, PMIX_BOOL);
  }
  pmix_info_t* data() { return entries_.data(); }
  std::size_t size() const { return entries_.size(); }

 private:
  void load(const char* key, const void* value, pmix_data_type_t type) {
    pmix_info_t& entry = entries_.emplace_back();
    PMIX_INFO_CONSTRUCT(&entry);
    PMIX_INFO_LOAD(&entry, key, value, type);
  }
  std::vector<pmix_info_t> entries_;
};

/// The connection to the runtime.
class Connection {
 public:
  explicit Connection(const std::string& uri, std::chrono::seconds timeout = connect_timeout) : tool_(!uri.empty()) {
    const Watchdog watchdog("connecting to the PMIx runtime", timeout);
    const auto deadline = Clock::now() + timeout / 4;
    pmix_status_t status = PMIX_ERROR;
    for (;;) {
      status = tool_ ? connect_as_tool(uri) : PMIx_Init(&self_, nullptr, 0);
      if (status == PMIX_SUCCESS) return;
      // A runtime that is just starting; the address of one that is gone looks the same.
      if (!tool_ || status != PMIX_ERR_UNREACH || Clock::now() > deadline) break;
      std::this_thread::sleep_for(retry_pause);
    }
    fail(std::string("cannot connect to the PMIx runtime ") + (tool_ ? "at " + uri : "that started this one") + ": " +
         PMIx_Error_string(status));
  }
  ~Connection() {
    const Watchdog watchdog("leaving the PMIx runtime", settle_timeout);
    tool_ ? PMIx_tool_finalize() : PMIx_Finalize(nullptr, 0);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  bool is_tool() const { return tool_; }

 private:
  pmix_status_t connect_as_tool(const std::string& uri) {
    Attributes info;
    info.add(PMIX_SERVER_URI, uri);
    return PMIx_tool_init(&self_, info.data(), info.size());
  }

  const bool tool_;
  pmix_proc_t self_{};
};

/// The namespaces that the runtime says are over, as far as it says so. It may, before PMIx_Spawn has returned, and of others' too.
class JobEnds {
 public:
  JobEnds() : news_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~JobEnds() { ::close(news_); }
  JobEnds(const JobEnds&) = delete;
  JobEnds& operator=(const JobEnds&) = delete;

  void listen() {
    pmix_status_t code = PMIX_EVENT_JOB_END;
    pmix_info_t self;
    PMIX_INFO_CONSTRUCT(&self);
    PMIX_LOAD_KEY(self.key, PMIX_EVENT_RETURN_OBJECT);
    self.value.type = PMIX_POINTER;
    self.value.data.ptr = this;
    PMIx_Register_event_handler(&code, 1, &self, 1, &JobEnds::on_event, nullptr, nullptr);
  }
  int news() const { return news_; }
  bool has(const std::string& space) {
    const std::scoped_lock lock(mutex_);
    return std::find(ended_.begin(), ended_.end(), space) != ended_.end();
  }

 private:
  /// On libpmix's thread.
  static void on_event(std::size_t, pmix_status_t, const pmix_proc_t* source, pmix_info_t* info, std::size_t count,
                       pmix_info_t*, std::size_t, pmix_event_notification_cbfunc_fn_t done, void* argument) {
    JobEnds* self = nullptr;
    const pmix_proc_t* job = source;
    for (std::size_t i = 0; i < count; ++i) {
      if (PMIX_CHECK_KEY(&info[i], PMIX_EVENT_RETURN_OBJECT)) self = static_cast<JobEnds*>(info[i].value.data.ptr);
      if (PMIX_CHECK_KEY(&info[i], PMIX_EVENT_AFFECTED_PROC)) job = info[i].value.data.proc;
    }
    if (self != nullptr && job != nullptr) self->add(job->nspace);
    if (done != nullptr) done(PMIX_EVENT_ACTION_COMPLETE, nullptr, 0, nullptr, nullptr, argument);
  }
  void add(const char* space) {
    const std::scoped_lock lock(mutex_);
    ended_.emplace_back(space);
    static_cast<void>(::eventfd_write(news_, 1));
  }

  const int news_;
  std::mutex mutex_;
  std::vector<std::string> ended_;
};

bool started_nothing(pmix_status_t status) {
  return status == PMIX_ERR_JOB_FAILED_TO_MAP || status == PMIX_ERR_OUT_OF_RESOURCE ||
         status == PMIX_ERR_JOB_INSUFFICIENT_RESOURCES;
}

std::string spawn(const Arguments& arguments, bool notify) {
  Attributes job;
  job.add(PMIX_BINDTO, "none");  // each rank is bound by its shim
  job.add(PMIX_MAPBY,
          "slot:OVERSUBSCRIBE");  // our scheduler counts the cores, and the runtime's own ranks have slots too
  if (notify) job.add_flag(PMIX_NOTIFY_COMPLETION);
  // No personality: with that of Open MPI the daemons of PRRTE 3.0.8 crash where a job has several applications, and its programs ask
  // for nothing that they would be given by it.

  std::vector<Attributes> places(arguments.groups.size());
  std::vector<pmix_app_t> apps(arguments.groups.size());
  for (std::size_t i = 0; i < apps.size(); ++i) {
    places[i].add(PMIX_HOST, arguments.groups[i].host);
    PMIX_APP_CONSTRUCT(&apps[i]);
    apps[i].cmd = ::strdup(arguments.command.front().c_str());
    for (const std::string& word : arguments.command) {
      pmix_status_t added = PMIX_SUCCESS;
      PMIX_ARGV_APPEND(added, apps[i].argv, word.c_str());
      if (added != PMIX_SUCCESS) fail("no memory for a command");
    }
    apps[i].cwd = ::strdup("/");
    apps[i].maxprocs = arguments.groups[i].ranks;
    apps[i].info = places[i].data();
    apps[i].ninfo = places[i].size();
  }
  std::array<char, PMIX_MAX_NSLEN + 1> space{};
  const auto deadline = Clock::now() + step_timeout;
  pmix_status_t status = PMIX_SUCCESS;
  for (;;) {
    const Watchdog watchdog("PMIx_Spawn", step_timeout);
    status = PMIx_Spawn(job.data(), job.size(), apps.data(), apps.size(), space.data());
    if (!started_nothing(status) || Clock::now() > deadline) break;
    std::this_thread::sleep_for(retry_pause);
  }
  for (pmix_app_t& app : apps) {
    app.info = nullptr;  // `places` has them
    app.ninfo = 0;
    PMIX_APP_DESTRUCT(&app);
  }
  if (status == PMIX_ERR_NOT_SUPPORTED) {
    fail(
        "the PMIx runtime starts no processes for others (PMIx_Spawn: PMIX_ERR_NOT_SUPPORTED): use another --launcher, "
        "or a "
        "PRRTE DVM named by --dvm-uri");
  }
  if (status != PMIX_SUCCESS) fail(std::string("PMIx_Spawn: ") + PMIx_Error_string(status));
  return space.data();
}

/// Until our agent says that the ranks are gone, or the runtime does.
void wait_for_end(int signals, JobEnds& ends, const std::string& space) {
  std::optional<Clock::time_point> deadline;
  while (!ends.has(space)) {
    std::array<pollfd, 2> watched{pollfd{signals, POLLIN, 0}, pollfd{ends.news(), POLLIN, 0}};
    // For as long as the task runs: its agent has the time limit, and ends this process with the task.
    const auto left = deadline ? std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count() : -1;
    if (deadline && left <= 0) return;
    ::poll(watched.data(), watched.size(), static_cast<int>(left));
    eventfd_t ignored = 0;
    static_cast<void>(::eventfd_read(ends.news(), &ignored));
    signalfd_siginfo info{};
    if (!deadline && ::read(signals, &info, sizeof info) == sizeof info) deadline = Clock::now() + job_end_wait;
  }
}

int spawn_ranks(const Arguments& arguments) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // for libpmix's threads too
  const int signals = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  JobEnds ends;  // outlives the connection, whose thread calls it
  const Connection connection(arguments.uri);
  if (connection.is_tool()) {
    ends.listen();
    wait_for_end(signals, ends, spawn(arguments, true));
  } else {
    // Open MPI 4's mpirun never delivers the event, and prints an error for each that it is asked for.
    static_cast<void>(spawn(arguments, false));
    pollfd over{signals, POLLIN, 0};
    ::poll(&over, 1, -1);  // as above
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "settle" && argc == 2) {
    const Connection connection("", settle_timeout);
    return 0;
  }
  if (mode == "spawn") {
    if (const auto arguments = read_arguments(argc, argv)) return spawn_ranks(*arguments);
  }
  std::fputs("trireme-dvm is started by trireme\n", stderr);
  return 2;
}
