// trireme-executor SOCKET NUMBER: makes calls of functions in shared libraries, one after the other, for the agent of its node.
//
// It reads what has arrived, makes the calls in order, and writes their ends in one go: when nothing more is there to do, when
// 64 KiB have gathered, or after a millisecond. Until then they lie in memory that the agent sees too (frames.hpp), so that it
// knows which call it was when a function takes this process with it, by a crash, exit() or whatever. It ends with its connection.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
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

constexpr auto flush_every = std::chrono::milliseconds(1);

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

/// Ends of calls that wait to be sent, where the agent sees them too.
class Ends {
 public:
  Ends(int connection, char* memory) : connection_(connection), memory_(memory) {}

  bool add(const std::string& frame) {
    if (used_ + frame.size() > unsent_bytes && !flush()) return false;
    if (frame.size() > unsent_bytes) return write_all(connection_, frame.data(), frame.size());
    std::memcpy(memory_ + sizeof(std::uint64_t) + used_, frame.data(), frame.size());
    set_used(used_ + frame.size());
    return true;
  }
  bool flush() {
    if (!write_all(connection_, memory_ + sizeof(std::uint64_t), used_)) return false;
    set_used(0);
    return true;
  }

 private:
  /// After the bytes that it counts, and before whatever the next function does.
  void set_used(std::size_t used) {
    used_ = used;
    std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(memory_)).store(used, std::memory_order_release);
  }

  int connection_;
  char* memory_;
  std::size_t used_ = 0;
};

/// Whether this is a child that a function has forked.
bool forked = false;

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
  std::string library;
  std::string symbol;
  trireme_function entry = nullptr;
  std::string error;  ///< why it cannot be called
};

class Executor {
 public:
  Executor(int connection, char* unsent) : connection_(connection), ends_(connection, unsent) {}

  int run(std::uint64_t number) {
    std::string hello;
    append_frame(hello, Kind::hello, number);
    if (!write_all(connection_, hello.data(), hello.size())) return 0;
    while (true) {
      if (calls_.empty()) {
        if (!ends_.flush()) return 0;
        if (!read(0)) return 0;
      } else {
        const bool told = make(calls_.front());
        calls_.pop_front();
        if (!told) return 0;
        const auto now = std::chrono::steady_clock::now();
        if (now - flushed_ < flush_every) continue;
        flushed_ = now;
        if (!ends_.flush() || !read(MSG_DONTWAIT)) return 0;
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

  /// Takes in what has arrived; waits for something unless told not to. False at the end of the connection.
  bool read(int flags) {
    std::array<char, 256 << 10> bytes;
    const ssize_t n = ::recv(connection_, bytes.data(), bytes.size(), flags);
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
      // Looked for at its first call: a library may do anything while it is loaded.
      Function& function = functions_[static_cast<std::uint32_t>(frame.id)];
      function.library = body.substr(0, length);
      function.symbol = body.substr(std::min<std::size_t>(length, body.size()));
    } else if (frame.kind == Kind::call) {
      const auto function = take_integer<std::uint32_t>(body);
      calls_.push_back({frame.id, function, std::string(body), false});
    } else if (frame.kind == Kind::skip) {
      for (Waiting& call : calls_) call.skipped = call.skipped || call.id == frame.id;
    }
  }

  void find(Function& function) {
    function.error.clear();
    void*& handle = libraries_[function.library];
    if (handle == nullptr) handle = ::dlopen(function.library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      function.error = std::string("the library cannot be loaded: ") + ::dlerror();
      return;
    }
    function.entry = reinterpret_cast<trireme_function>(::dlsym(handle, function.symbol.c_str()));
    if (function.entry == nullptr) {
      function.error = "there is no function " + function.symbol + " in " + function.library;
    }
  }

  bool make(const Waiting& waiting) {
    frame_.clear();
    if (waiting.skipped) {
      append_frame(frame_, Kind::skipped, waiting.id);
      return ends_.add(frame_);
    }
    const std::int64_t begun = wall_now();
    Function& function = functions_[waiting.function];
    if (function.entry == nullptr) find(function);
    Call call;
    call.c = {waiting.args.c_str(), waiting.args.size(), set_result, set_failure};
    call.failure = function.error;
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
    // A child that the function forked, and that came back from it, makes no more calls.
    if (forked) ::_exit(good ? 0 : 1);
    if (good && call.result.size() > max_result) {
      good = false;
      call.failure = "the result of " + std::to_string(call.result.size()) +
                     " bytes is longer than 1 MiB: return the name of a file instead";
    }
    if (good && call.result.empty()) call.result = "null";
    if (!good && call.failure.size() > max_words) call.failure.resize(max_words);
    std::string times;
    append_integer(times, begun);
    append_integer(times, wall_now());
    append_frame(frame_, good ? Kind::done : Kind::failed, waiting.id, times, good ? call.result : call.failure);
    return ends_.add(frame_);
  }

  int connection_;
  Ends ends_;
  std::string frame_;  ///< the end of a call, while it is put together
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
  const int connection = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0 || ::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    std::perror("trireme-executor: cannot reach the agent");
    return 1;
  }
  const std::uint64_t number = std::strtoull(argv[2], nullptr, 10);
  const int file = ::open(unsent_path(argv[1], number).c_str(), O_RDWR | O_CLOEXEC);
  void* const unsent =
      file < 0 ? MAP_FAILED
               : ::mmap(nullptr, sizeof(std::uint64_t) + unsent_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (unsent == MAP_FAILED) {
    std::perror("trireme-executor: cannot map the file for its unsent ends");
    return 1;
  }
  ::close(file);
  ::pthread_atfork(nullptr, nullptr, [] { forked = true; });
  return Executor(connection, static_cast<char*>(unsent)).run(number);
}
