// trireme-executor SOCKET NUMBER: makes calls of functions in shared libraries, one after the other, for the agent of its node.
//
// It reads what has arrived, makes the calls in order, and writes their ends in one go: when nothing more is there to do, when
// 64 KiB have gathered, or after a millisecond. A function that crashes takes this process with it; the ends that have gathered
// are written first by the signal's handler, so that the agent knows which call it was. It ends with its connection.
#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <string>
#include <unordered_map>

#include "services/executor/frames.hpp"
#include "trireme/function.h"

namespace {

using namespace trireme::executor;

constexpr std::size_t flush_bytes = 64u << 10;
constexpr auto flush_every = std::chrono::milliseconds(1);

// What the signal handler needs: the process has one connection and one buffer of ends.
int connection = -1;
std::string* unsent = nullptr;

bool write_all(int descriptor, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::send(descriptor, bytes, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

/// The handler is reset on entry, so raising the signal again ends the process as the signal would have.
void on_crash(int signal) {
  if (unsent != nullptr) write_all(connection, unsent->data(), unsent->size());
  std::raise(signal);
}

std::int64_t wall_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What a function says of its call.
struct Call {
  trireme_call c{};
  std::string result;
  std::string failure;
};

void set_result(trireme_call* call, const char* json, std::size_t length) {
  reinterpret_cast<Call*>(call)->result.assign(json, length);
}
void set_failure(trireme_call* call, const char* text) {
  reinterpret_cast<Call*>(call)->failure = text;
}

struct Function {
  trireme_function entry = nullptr;
  std::string error;  ///< why it cannot be called
};

class Executor {
 public:
  explicit Executor(std::uint64_t number) {
    unsent = &out_;
    append_frame(out_, Kind::hello, number);
  }

  int run() {
    while (true) {
      if (calls_.empty()) {
        if (!flush()) return 0;
        if (!read(0)) return 0;
      } else {
        make(calls_.front());
        calls_.pop_front();
        const auto now = std::chrono::steady_clock::now();
        if (out_.size() < flush_bytes && now - flushed_ < flush_every) continue;
        flushed_ = now;
        if (!flush() || !read(MSG_DONTWAIT)) return 0;
      }
    }
  }

 private:
  struct Waiting {
    std::uint64_t id = 0;
    std::uint32_t function = 0;
    std::string args;
    bool skipped = false;
  };

  bool flush() {
    if (!write_all(connection, out_.data(), out_.size())) return false;
    out_.clear();
    return true;
  }

  /// Takes in what has arrived; waits for something unless told not to. False at the end of the connection.
  bool read(int flags) {
    std::array<char, 256 << 10> bytes;
    const ssize_t n = ::recv(connection, bytes.data(), bytes.size(), flags);
    if (n < 0) return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
    if (n == 0) return false;
    reader_.feed({bytes.data(), static_cast<std::size_t>(n)});
    while (const auto frame = reader_.next()) take(*frame);
    return !reader_.failed();
  }

  void take(const Frame& frame) {
    std::string_view body = frame.body;
    if (frame.kind == Kind::define) {
      const auto length = take_integer<std::uint32_t>(body);
      functions_[static_cast<std::uint32_t>(frame.id)] = find(
          std::string(body.substr(0, length)), std::string(body.substr(std::min<std::size_t>(length, body.size()))));
    } else if (frame.kind == Kind::call) {
      const auto function = take_integer<std::uint32_t>(body);
      calls_.push_back({frame.id, function, std::string(body), false});
    } else if (frame.kind == Kind::skip) {
      for (Waiting& call : calls_) call.skipped = call.skipped || call.id == frame.id;
    }
  }

  Function find(const std::string& library, const std::string& symbol) {
    void*& handle = libraries_[library];
    if (handle == nullptr) handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return {nullptr, std::string("the library cannot be loaded: ") + ::dlerror()};
    void* entry = ::dlsym(handle, symbol.c_str());
    if (entry == nullptr) return {nullptr, "there is no function " + symbol + " in " + library};
    return {reinterpret_cast<trireme_function>(entry), ""};
  }

  void make(const Waiting& waiting) {
    if (waiting.skipped) return append_frame(out_, Kind::skipped, waiting.id);
    const Function& function = functions_[waiting.function];
    Call call;
    call.c = {waiting.args.c_str(), waiting.args.size(), set_result, set_failure};
    call.failure = function.error;
    const std::int64_t begun = wall_now();
    bool good = false;
    if (function.entry != nullptr) {
      try {
        const int code = function.entry(&call.c);
        good = code == 0;
        if (!good && call.failure.empty()) call.failure = "the function returned " + std::to_string(code);
      } catch (const std::exception& error) {
        call.failure = std::string("the function threw: ") + error.what();
      } catch (...) {
        call.failure = "the function threw";
      }
    }
    std::string times;
    append_integer(times, begun);
    append_integer(times, wall_now());
    if (good && call.result.empty()) call.result = "null";
    append_frame(out_, good ? Kind::done : Kind::failed, waiting.id, times, good ? call.result : call.failure);
  }

  std::string out_;
  Reader reader_;
  std::deque<Waiting> calls_;
  std::unordered_map<std::uint32_t, Function> functions_;
  std::unordered_map<std::string, void*> libraries_;
  std::chrono::steady_clock::time_point flushed_{};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: trireme-executor SOCKET NUMBER\nIt is started by Trireme, for function tasks.\n");
    return 2;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(argv[1]) >= sizeof address.sun_path) {
    std::fprintf(stderr, "trireme-executor: the socket's path is too long: %s\n", argv[1]);
    return 1;
  }
  std::strcpy(address.sun_path, argv[1]);
  connection = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0 || ::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    std::perror("trireme-executor: cannot reach the agent");
    return 1;
  }
  struct sigaction crash {};
  crash.sa_handler = on_crash;
  crash.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) ::sigaction(signal, &crash, nullptr);
  return Executor(std::strtoull(argv[2], nullptr, 10)).run();
}
