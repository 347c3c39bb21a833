// native_service SOCKET: a native service on several threads, which also does what tests ask for.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "trireme/native.hpp"

namespace {

struct Asked : trireme::native::Service {
  using Service::Service;
  Response handle(const Request& request) override {
    if (request.target() == "/die") ::_exit(3);
    if (request.target() == "/pid") return {.status = 200, .headers = {}, .body = std::to_string(::getpid())};
    if (request.target() == "/cancelled")
      return {.status = 200, .headers = {}, .body = std::to_string(cancelled.load())};
    if (request.target() == "/wait") {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (!request.cancelled() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      if (request.cancelled()) ++cancelled;
    }
    return {.status = 200, .headers = {{"X-Seen", std::string(request.target())}}, .body = std::string(request.body())};
  }
  std::atomic<int> cancelled = 0;
};

}  // namespace

int main(int, char** arguments) {
  trireme::native::ServiceOptions options;
  options.threads = 3;
  Asked service(options);
  return service.serve(arguments[1]) ? 0 : 1;
}
