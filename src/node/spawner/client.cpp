#include "node/spawner/client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "core/defaults.hpp"
#include "node/spawner/locate.hpp"
#include "node/spawner/sweep.hpp"

extern "C" char** environ;

namespace trireme {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;

// Which descriptor the socket is in the spawner.
constexpr int spawner_socket = 3;

// How long an exiting process may take from closing its socket to being waitable.
constexpr milliseconds exit_time{1000};

Error system_error(std::string what, int code) {
  return {std::move(what) + ": " + std::system_category().message(code), {}, {}};
}

// Waits for the end of our child, at most this long; its status, or none if it is not known or it lives.
std::optional<int> wait_for_exit(pid_t pid, milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  std::optional<int> status;
  for (;;) {
    int raw = 0;
    const pid_t waited = ::waitpid(pid, &raw, WNOHANG);
    if (waited == pid) status = raw;
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (waited != 0 || left <= 0) break;
    // Kernels before 5.3 have no pidfd: then it is looked at every few milliseconds.
    pollfd ended{process, POLLIN, 0};
    ::poll(&ended, process >= 0 ? 1 : 0, process >= 0 ? static_cast<int>(left) : 5);
  }
  if (process >= 0) ::close(process);
  return status;
}

std::string words_for(std::optional<int> status) {
  if (!status) return "it is gone";
  if (WIFSIGNALED(*status)) return "signal " + std::to_string(WTERMSIG(*status)) + " ended it";
  return "it exited with code " + std::to_string(WEXITSTATUS(*status));
}

// Starts the program with `socket` as its descriptor 3, in a session of its own.
Result<pid_t> start_program(const std::string& program, const std::string& log_file, const std::string& remove,
                            int socket) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, socket, spawner_socket);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  const std::string fd = std::to_string(spawner_socket);
  const std::string rank = std::to_string(::getpid());
  std::vector<const char*> argv{program.c_str(), "--socket", fd.c_str(),      "--rank",
                                rank.c_str(),    "--log",    log_file.c_str()};
  if (!remove.empty()) argv.insert(argv.end(), {"--remove", remove.c_str()});
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, program.c_str(), &actions, &attributes, const_cast<char* const*>(argv.data()), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return system_error("cannot start " + program, failed);
  return pid;
}

}  // namespace

class SpawnerClient::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::io_context& loop, int socket, pid_t pid, Options options, Handlers handlers)
      : socket_(loop, boost::asio::local::stream_protocol(), socket),
        deadline_(loop),
        pid_(pid),
        options_(std::move(options)),
        handlers_(std::move(handlers)) {}

  template <typename Message>
  Status send(const Message& request) {
    if (!alive_) return Error{"the spawner is gone", {}, {}};
    if (!spawner::encode(request, waiting_)) {
      return Error{"the command and its environment exceed " + std::to_string(spawner::max_frame >> 20) + " MiB",
                   {},
                   "pass large data in a file"};
    }
    if (!flushing_) {
      flushing_ = true;
      boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->flush(); });
    }
    return {};
  }

  void read() {
    socket_.async_read_some(
        boost::asio::buffer(chunk_),
        [self = shared_from_this()](error_code failed, std::size_t got) { self->on_read(failed, got); });
  }

  void shut_down(milliseconds grace, milliseconds deadline, std::function<void()> done) {
    done_ = std::move(done);
    ending_ = true;
    if (!alive_) {
      boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->finish(); });
      return;
    }
    if (!send(spawner::Shutdown{static_cast<std::uint32_t>(grace.count())})) {
      // It reads no longer: closing our end says the same.
      ::shutdown(socket_.native_handle(), SHUT_RDWR);
    }
    deadline_.expires_after(deadline);
    deadline_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && self->alive_) self->lost(true);
    });
  }

  /// As if the rank had died; silent from now on.
  void abandon() {
    handlers_ = {};
    done_ = nullptr;
    error_code ignored;
    deadline_.cancel();
    socket_.close(ignored);
    if (!alive_) return;
    alive_ = false;
    const auto patience = defaults::death_grace + defaults::unkillable_after + exit_time;
    if (!wait_for_exit(pid_, std::chrono::duration_cast<milliseconds>(patience))) kill_and_sweep();
  }

  bool alive() const { return alive_; }
  pid_t pid() const { return pid_; }
  std::size_t backlog() const { return waiting_.size() + leaving_.size(); }

 private:
  void flush() {
    if (!alive_ || waiting_.empty()) {
      flushing_ = false;
      return;
    }
    leaving_.clear();
    leaving_.swap(waiting_);
    boost::asio::async_write(socket_, boost::asio::buffer(leaving_),
                             [self = shared_from_this()](error_code failed, std::size_t) {
                               // A failure means that the spawner died; the reading side sees that too and tells.
                               if (failed) self->waiting_.clear();
                               self->leaving_.clear();
                               self->flush();
                             });
  }

  void on_read(error_code failed, std::size_t got) {
    if (!alive_) return;
    if (failed) return lost(false);
    reader_.feed(std::string_view(chunk_.data(), got));
    while (const auto frame = reader_.next()) {
      const auto report = spawner::decode_report(*frame);
      if (!report) return lost(true);
      std::visit([this](const auto& message) { hand_on(message); }, *report);
      if (!alive_) return;
    }
    if (reader_.failed()) return lost(true);
    read();
  }

  void hand_on(const spawner::Started& report) { handlers_.on_started(report); }
  void hand_on(const spawner::Failed& report) { handlers_.on_failed(report); }
  void hand_on(const spawner::Ended& report) { handlers_.on_ended(report); }

  void lost(bool by_force) {
    alive_ = false;
    error_code ignored;
    deadline_.cancel();
    socket_.close(ignored);
    std::optional<int> status;
    if (!by_force) status = wait_for_exit(pid_, exit_time);
    const bool orderly = status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
    if (!orderly) kill_and_sweep();
    if (ending_) return finish();
    const auto on_lost = std::move(handlers_.on_lost);
    on_lost(Error{"the spawner died: " + (by_force ? "it spoke nonsense" : words_for(status)),
                  "process " + std::to_string(pid_), "see its log, " + options_.log_file});
  }

  void kill_and_sweep() {
    // Not waited for yet, or not ours: either way the number is not another's as long as it is our child.
    if (::waitpid(pid_, nullptr, WNOHANG) == 0) {
      ::kill(pid_, SIGKILL);
      wait_for_exit(pid_, exit_time);
    }
    sweep(options_.marks);
  }

  void finish() {
    if (const auto done = std::exchange(done_, nullptr)) done();
  }

  boost::asio::local::stream_protocol::socket socket_;
  boost::asio::steady_timer deadline_;
  pid_t pid_;
  Options options_;
  Handlers handlers_;
  std::function<void()> done_;
  bool alive_ = true;
  bool ending_ = false;
  bool flushing_ = false;  // a write is under way or about to be
  std::string waiting_;
  std::string leaving_;
  spawner::FrameReader reader_;
  std::array<char, 64u << 10> chunk_{};
};

Result<std::unique_ptr<SpawnerClient>> SpawnerClient::start(boost::asio::io_context& loop, Options options,
                                                            Handlers handlers) {
  if (options.program.empty()) {
    auto found = locate_companion("trireme-spawner", "TRIREME_SPAWNER");
    if (!found) return std::move(found).error();
    options.program = std::move(*found);
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return system_error("cannot make a socketpair for the spawner", errno);
  }
  const auto [ours, theirs] = pair;
  // In the child a dup2 puts it at its place; onto itself, that would leave it to be closed at exec.
  const int moved = ::fcntl(theirs, F_DUPFD_CLOEXEC, spawner_socket + 1);
  ::close(theirs);
  if (moved < 0) {
    ::close(ours);
    return system_error("cannot make a socketpair for the spawner", errno);
  }
  auto pid = start_program(options.program, options.log_file, options.remove, moved);
  ::close(moved);
  if (!pid) {
    ::close(ours);
    return std::move(pid).error();
  }
  auto impl = std::make_shared<Impl>(loop, ours, *pid, std::move(options), std::move(handlers));
  impl->read();
  return std::unique_ptr<SpawnerClient>(new SpawnerClient(std::move(impl)));
}

SpawnerClient::SpawnerClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
SpawnerClient::~SpawnerClient() {
  impl_->abandon();
}

Status SpawnerClient::spawn(const SpawnRequest& request) {
  if (backlog() > defaults::spawner_backlog) {
    return Error{"the spawner does not keep up with what it is asked to start", {}, {}};
  }
  return impl_->send(request);
}

void SpawnerClient::signal(std::uint64_t id, int signo) {
  static_cast<void>(impl_->send(spawner::Signal{id, signo}));
}

void SpawnerClient::stop(std::uint64_t id, milliseconds grace) {
  static_cast<void>(impl_->send(spawner::Stop{id, static_cast<std::uint32_t>(grace.count())}));
}

void SpawnerClient::renew_lease(milliseconds duration) {
  static_cast<void>(impl_->send(spawner::Lease{static_cast<std::uint32_t>(duration.count())}));
}

void SpawnerClient::shutdown(milliseconds grace, milliseconds deadline, std::function<void()> done) {
  impl_->shut_down(grace, deadline, std::move(done));
}

bool SpawnerClient::alive() const {
  return impl_->alive();
}
pid_t SpawnerClient::pid() const {
  return impl_->pid();
}
std::size_t SpawnerClient::backlog() const {
  return impl_->backlog();
}

}  // namespace trireme
