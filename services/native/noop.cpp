// trireme-noop SOCKET: a native service that answers every request with nothing.
#include <cstdio>

#include "trireme/native.hpp"

namespace {

struct Noop : trireme::native::Service {
  Response handle(const Request&) override { return {}; }
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: trireme-noop SOCKET\n");
    return 2;
  }
  Noop service;
  if (service.serve(arguments[1])) return 0;
  std::fprintf(stderr, "trireme-noop: %s\n", service.error().c_str());
  return 1;
}
