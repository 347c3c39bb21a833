#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "core/defaults.hpp"
#include "native/request.hpp"
#include "native/service_connection.hpp"

namespace trireme::native {

namespace {

/// A connection with the thread that reads it.
struct Served {
  std::shared_ptr<ServiceConnection> connection;
  std::thread thread;
};

/// SIGTERM as a descriptor, for this thread and those that it starts, while it lives.
class TermSignal {
 public:
  TermSignal() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    descriptor_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~TermSignal() {
    signalfd_siginfo taken;
    while (::read(descriptor_, &taken, sizeof taken) > 0) {
    }
    ::close(descriptor_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  TermSignal(const TermSignal&) = delete;
  TermSignal& operator=(const TermSignal&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  sigset_t before_;
  int descriptor_ = -1;
};

/// Takes the next connection, if one has come. False when there is no descriptor, memory or thread for it: it goes on waiting.
bool admit(int listener, Service& service, Crew* crew, std::list<Served>& served) {
  // First what the connection needs beside its socket, since it cannot be put back.
  const int wake = make_eventfd();
  if (wake < 0) return false;
  const int socket = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) {
    const bool is_short = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    ::close(wake);
    return !is_short;
  }
  auto connection = std::make_shared<ServiceConnection>(socket, wake, service, crew);
  try {
    served.push_back({connection, std::thread([connection] { connection->run(); })});
  } catch (const std::system_error&) {
    return false;  // this one is closed; whoever made it tries again
  }
  return true;
}

}  // namespace

Request::Request() = default;
Request::~Request() = default;
Request::Request(Request&&) noexcept = default;
Request& Request::operator=(Request&&) noexcept = default;

std::optional<std::string_view> Request::header(std::string_view name) const {
  return frames::find(frames::Fields(fields_, field_count_), name);
}

Headers Request::headers() const {
  Headers out;
  out.reserve(field_count_);
  frames::Fields fields(fields_, field_count_);
  for (frames::Field field; fields.next(field);) out.push_back({std::string(field.name), std::string(field.value)});
  return out;
}

bool Request::cancelled() const {
  return own_ != nullptr && *own_->cancelled;
}

Service::Service(ServiceOptions options) : options_(std::move(options)), stop_(make_eventfd()) {}
Service::~Service() {
  ::close(stop_);
}

Service::Response Service::handle(const Request&) {
  return {.status = 501, .headers = {}, .body = "this service handles nothing\n"};
}

std::vector<Service::Response> Service::handle_batch(std::span<const Request> requests) {
  std::vector<Response> answers;
  answers.reserve(requests.size());
  for (const Request& request : requests) answers.push_back(handle(request));
  return answers;
}

void Service::stop() {
  raise_flag(stop_);
}

bool Service::serve(const std::string& path) {
  TermSignal term;
  const int listener = listen_at(path);
  if (listener < 0) {
    error_ = "cannot listen at " + path + ": " + std::strerror(errno);
    return false;
  }
  std::unique_ptr<Crew> crew;
  if (options_.threads > 1 || options_.max_batch > 1) crew = std::make_unique<Crew>(*this);
  std::list<Served> served;
  constexpr int pause = std::chrono::milliseconds(defaults::accept_backoff).count();
  bool is_short = false;  // of descriptors or threads: the listener, which stays readable, is looked at later
  for (;;) {
    pollfd waits[3] = {
        {listener, static_cast<short>(is_short ? 0 : POLLIN), 0}, {term.descriptor(), POLLIN, 0}, {stop_, POLLIN, 0}};
    if (::poll(waits, 3, is_short ? pause : -1) < 0) continue;
    if (waits[1].revents != 0 || waits[2].revents != 0) break;
    served.remove_if([](Served& one) {
      if (!one.connection->over()) return false;
      one.thread.join();
      return true;
    });
    is_short = !admit(listener, *this, crew.get(), served);
  }
  ::close(listener);
  ::unlink(path.c_str());
  for (Served& one : served) one.connection->stop();
  for (Served& one : served) one.thread.join();
  lower_flag(stop_);
  return true;
}

}  // namespace trireme::native
