// trireme-echo SOCKET [THREADS [BATCH [DELAY_US]]]: a native service that answers with the body that it is given, or, at /size,
// with how many bytes that are. With BATCH above 1 it takes up to so many requests together, and says how many in X-Batch.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "trireme/native.hpp"

namespace {

struct Echo : trireme::native::Service {
  using Service::Service;
  Response handle(const Request& request) override {
    if (request.target() == "/size")
      return {.status = 200, .headers = {}, .body = std::to_string(request.body().size())};
    return {.status = 200, .headers = {{"X-Seen", std::string(request.target())}}, .body = std::string(request.body())};
  }
  std::vector<Response> handle_batch(std::span<const Request> requests) override {
    std::vector<Response> answers = Service::handle_batch(requests);
    for (Response& answer : answers) answer.headers.push_back({"X-Batch", std::to_string(requests.size())});
    return answers;
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 2 || count > 5) {
    std::fprintf(stderr, "usage: trireme-echo SOCKET [THREADS [BATCH [DELAY_US]]]\n");
    return 2;
  }
  trireme::native::ServiceOptions options;
  if (count > 2) options.threads = static_cast<unsigned>(std::atoi(arguments[2]));
  if (count > 3) options.max_batch = static_cast<std::size_t>(std::atoi(arguments[3]));
  if (count > 4) options.max_delay = std::chrono::microseconds(std::atoi(arguments[4]));
  Echo service(std::move(options));
  if (service.serve(arguments[1])) return 0;
  std::fprintf(stderr, "trireme-echo: %s\n", service.error().c_str());
  return 1;
}
