#include "launch/spawner/child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "core/defaults.hpp"

namespace trireme::spawner {

// All that the child needs, and where it leaves the reason when it cannot run the program.
struct Launcher::Plan {
  std::vector<std::string> programs;  // to try in turn
  std::vector<const char*> argv;
  std::vector<const char*> shell_argv;  // for a script that names no interpreter; [1] is set to its path
  std::vector<const char*> envp;
  sockaddr_un connection{};  // where to connect to; AF_UNSPEC: nowhere
  const Spawn* spawn = nullptr;
  pid_t spawner = 0;
  bool share_stderr = false;

  volatile Stage stage = Stage::none;
  volatile int error = 0;
};

namespace {

using Plan = Launcher::Plan;

constexpr std::size_t stack_bytes = 64u << 10;
constexpr std::uint32_t largest_cpu = 1u << 16;
constexpr std::size_t longest_reason = 4096;
constexpr const char* null_device = "/dev/null";

std::vector<const char*> pointers(const std::vector<std::string>& strings) {
  std::vector<const char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& text : strings) out.push_back(text.c_str());
  out.push_back(nullptr);
  return out;
}

std::string_view path_of(const std::vector<std::string>& env) {
  for (const auto& entry : env) {
    if (entry.starts_with("PATH=")) return std::string_view(entry).substr(5);
  }
  return "/usr/local/bin:/usr/bin:/bin";
}

std::vector<std::string> programs_to_try(const std::string& name, std::string_view path) {
  if (name.empty() || name.find('/') != std::string::npos) return {name};
  std::vector<std::string> out;
  for (;;) {
    const auto colon = path.find(':');
    const auto folder = path.substr(0, colon);
    out.push_back(folder.empty() ? "./" + name : std::string(folder) + "/" + name);
    if (colon == std::string_view::npos) return out;
    path.remove_prefix(colon + 1);
  }
}

std::vector<unsigned long> mask_of(const std::vector<std::uint32_t>& cpus) {
  constexpr std::uint32_t bits = sizeof(unsigned long) * CHAR_BIT;
  if (cpus.empty()) return {};
  std::vector<unsigned long> mask(*std::max_element(cpus.begin(), cpus.end()) / bits + 1);
  for (const auto cpu : cpus) mask[cpu / bits] |= 1ul << (cpu % bits);
  return mask;
}

bool bind_self(const std::vector<unsigned long>& mask) {
  const auto bytes = mask.size() * sizeof(unsigned long);
  return ::sched_setaffinity(0, bytes, reinterpret_cast<const cpu_set_t*>(mask.data())) == 0;
}

// ---- In the child: system calls only.

bool fail(Plan& plan, Stage stage) {
  plan.error = errno;
  plan.stage = stage;
  return false;
}

bool open_as(const char* path, int flags, int target) {
  const int file = ::open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
  return file >= 0 && ::dup2(file, target) == target;
}

bool set_limits(Plan& plan) {
  for (const auto& limit : plan.spawn->limits) {
    const rlimit64 value{limit.soft, limit.hard};
    if (::prlimit64(0, static_cast<__rlimit_resource>(limit.resource), &value, nullptr) != 0) {
      return fail(plan, Stage::limits);
    }
  }
  return true;
}

bool set_files(Plan& plan) {
  const Spawn& spawn = *plan.spawn;
  if (!spawn.cwd.empty() && ::chdir(spawn.cwd.c_str()) != 0) return fail(plan, Stage::working_folder);
  // The spawner's own stdin is the null device already.
  if (spawn.stdin_path != null_device && !open_as(spawn.stdin_path.c_str(), O_RDONLY, 0)) {
    return fail(plan, Stage::stdin_file);
  }
  const int flags = O_WRONLY | O_CREAT | (spawn.append ? O_APPEND : O_TRUNC);
  if (!open_as(spawn.stdout_path.c_str(), flags, 1)) return fail(plan, Stage::stdout_file);
  if (plan.share_stderr) return ::dup2(1, 2) == 2 || fail(plan, Stage::stderr_file);
  return open_as(spawn.stderr_path.c_str(), flags, 2) || fail(plan, Stage::stderr_file);
}

// The connection is made here and not handed on, so that neither the rank nor the spawner holds a descriptor for each process.
bool connect_out(Plan& plan) {
  if (plan.connection.sun_family == AF_UNSPEC) return true;
  const int out = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (out < 0) return fail(plan, Stage::connection);
  while (::connect(out, reinterpret_cast<const sockaddr*>(&plan.connection), sizeof plan.connection) != 0) {
    if (errno != EINTR) return fail(plan, Stage::connection);
  }
  const std::string& greeting = plan.spawn->connect_greeting;
  if (::send(out, greeting.data(), greeting.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(greeting.size())) {
    return fail(plan, Stage::connection);
  }
  if (out == connection_descriptor) return true;
  if (::dup2(out, connection_descriptor) != connection_descriptor) return fail(plan, Stage::connection);
  ::close(out);
  return true;
}

// What execvpe() does, but with the PATH of the child's environment and without allocating.
void execute(Plan& plan) {
  auto* const envp = const_cast<char* const*>(plan.envp.data());
  int error = ENOENT;
  for (const auto& program : plan.programs) {
    ::execve(program.c_str(), const_cast<char* const*>(plan.argv.data()), envp);
    if (errno == ENOEXEC) {
      plan.shell_argv[1] = program.c_str();
      ::execve("/bin/sh", const_cast<char* const*>(plan.shell_argv.data()), envp);
    }
    // A program that may not be run is worth telling only if no later folder has one that can.
    if (errno == EACCES) {
      error = EACCES;
    } else if (errno != ENOENT && errno != ENOTDIR) {
      error = errno;
      break;
    }
  }
  errno = error;
  fail(plan, Stage::program);
}

__attribute__((no_sanitize("address", "undefined", "thread"))) int child_main(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  ::setpgid(0, 0);
  // The spawner may have died before the parent-death signal was asked for.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.spawner) ::_exit(127);
  if (set_limits(plan) && set_files(plan) && connect_out(plan)) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    execute(plan);
  }
  ::_exit(127);
}

// ---- In the spawner: words for what happened.

std::string reason(const Plan& plan) {
  const Spawn& spawn = *plan.spawn;
  const std::string why = std::strerror(plan.error);
  const auto file = [&](const char* what, const std::string& path) {
    return "cannot open " + path + " as " + what + ": " + why;
  };
  switch (plan.stage) {
    case Stage::limits:
      return "cannot set the resource limits: " + why;
    case Stage::affinity:
      return "cannot bind to the cores given: " + why;
    case Stage::working_folder:
      return "cannot enter the folder " + spawn.cwd + ": " + why;
    case Stage::stdin_file:
      return file("stdin", spawn.stdin_path);
    case Stage::stdout_file:
      return file("stdout", spawn.stdout_path);
    case Stage::stderr_file:
      return file("stderr", spawn.stderr_path);
    case Stage::connection:
      return "cannot connect to " + spawn.connect_path + ": " + why;
    case Stage::program:
      break;
    default:
      return "cannot make a process: " + why;
  }
  const std::string& name = spawn.argv.front();
  const bool searched = name.find('/') == std::string::npos;
  if (plan.error == ENOENT && searched) return "cannot run '" + name + "': not found in PATH";
  if (plan.error == ENOENT && name.starts_with('/') && ::access(name.c_str(), F_OK) == 0) {
    return "cannot run '" + name + "': it exists, but the interpreter that it names does not";
  }
  return "cannot run '" + name + "': " + why;
}

Failed refusal(const Spawn& spawn, int error, std::string text) {
  return {spawn.id, error, Stage::refused, std::move(text)};
}

}  // namespace

Launcher::Launcher() : all_cores_(largest_cpu / (sizeof(unsigned long) * CHAR_BIT)) {
  void* memory = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory != MAP_FAILED) stack_ = static_cast<char*>(memory);
  ::sched_getaffinity(0, all_cores_.size() * sizeof(unsigned long), reinterpret_cast<cpu_set_t*>(all_cores_.data()));
}

Launcher::~Launcher() {
  if (stack_ != nullptr) ::munmap(stack_, stack_bytes);
}

pid_t Launcher::make_process(Plan& plan) {
  if (stack_ == nullptr) return errno = ENOMEM, -1;
  return ::clone(&child_main, stack_ + stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
}

std::variant<pid_t, Failed> Launcher::launch(const Spawn& spawn) {
  if (spawn.argv.empty()) return refusal(spawn, EINVAL, "there is no program to run");
  if (std::any_of(spawn.cpus.begin(), spawn.cpus.end(), [](auto cpu) { return cpu >= largest_cpu; })) {
    return refusal(spawn, EINVAL, "no machine has a core of that number");
  }
  if (spawn.connect_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return refusal(spawn, ENAMETOOLONG, "the path of its socket is too long");
  }
  Plan plan;
  if (!spawn.connect_path.empty()) {
    plan.connection.sun_family = AF_UNIX;
    spawn.connect_path.copy(plan.connection.sun_path, sizeof plan.connection.sun_path - 1);
  }
  plan.programs = programs_to_try(spawn.argv.front(), path_of(spawn.env));
  plan.argv = pointers(spawn.argv);
  plan.shell_argv = {"sh", nullptr};
  plan.shell_argv.insert(plan.shell_argv.end(), plan.argv.begin() + 1, plan.argv.end());
  plan.envp = pointers(spawn.env);
  plan.spawn = &spawn;
  plan.spawner = ::getpid();
  plan.share_stderr = spawn.stderr_path == spawn.stdout_path;

  // The child inherits its cores: bound before the clone, it never has to move while the spawner waits for it.
  const auto cores = mask_of(spawn.cpus);
  pid_t pid = -1;
  if (!cores.empty() && !bind_self(cores)) {
    fail(plan, Stage::affinity);
  } else {
    oom_score_.raise();
    pid = make_process(plan);
    if (pid < 0) fail(plan, Stage::process);
    oom_score_.restore();
  }
  if (pid >= 0 && plan.stage != Stage::none) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (!cores.empty()) bind_self(all_cores_);
  if (plan.stage == Stage::none) return pid;
  return Failed{spawn.id, plan.error, plan.stage, reason(plan).substr(0, longest_reason)};
}

}  // namespace trireme::spawner
