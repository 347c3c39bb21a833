// The C API: values of the C++ client behind pointers. No exception leaves it.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "trireme/native.h"
#include "trireme/native.hpp"

struct trireme_native_client {
  trireme::native::Client client;
};
struct trireme_native_pending {
  trireme::native::Pending pending;
};

namespace {

using namespace trireme::native;

static_assert(TRIREME_NATIVE_UNREACHABLE == static_cast<int>(Failure::Kind::unreachable) + 1);
static_assert(TRIREME_NATIVE_INVALID == static_cast<int>(Failure::Kind::invalid) + 1);

Call call_of(const char* service, const char* path, const void* body, std::size_t length, double deadline) {
  Call call;
  call.service = service;
  if (path != nullptr) call.path = path;
  call.body = {static_cast<const char*>(body), length};
  // A century is more than the clock's type has room for beside the present.
  if (deadline > 0)
    call.deadline = std::chrono::duration_cast<Span>(std::chrono::duration<double>(std::min(deadline, 3e9)));
  return call;
}

trireme_native_outcome fill(Outcome outcome, trireme_native_answer& answer) {
  answer = {.status = 0, .body = "", .length = 0, .error = "", .held = nullptr};
  auto* const held = new (std::nothrow) Outcome(std::move(outcome));
  if (held == nullptr) {
    answer.error = "there is no memory for the answer";
    return TRIREME_NATIVE_LOST;
  }
  answer.held = held;
  if (!*held) {
    answer.error = held->failure().what.c_str();
    return static_cast<trireme_native_outcome>(static_cast<int>(held->failure().kind) + 1);
  }
  answer.status = (*held)->status;
  answer.body = (*held)->body.c_str();
  answer.length = (*held)->body.size();
  return TRIREME_NATIVE_OK;
}

template <typename Make>
trireme_native_outcome answered(trireme_native_answer* answer, Make&& make) {
  try {
    return fill(make(), *answer);
  } catch (const std::exception&) {
    *answer = {.status = 0, .body = "", .length = 0, .error = "there is no memory for the request", .held = nullptr};
    return TRIREME_NATIVE_LOST;
  }
}

}  // namespace

extern "C" {

trireme_native_client* trireme_native_open(const char* socket, const char* token) {
  try {
    ClientOptions options;
    if (socket != nullptr) options.socket = socket;
    if (token != nullptr) options.token = token;
    return new trireme_native_client{Client(std::move(options))};
  } catch (const std::exception&) {
    return nullptr;
  }
}

void trireme_native_close(trireme_native_client* client) {
  delete client;
}

trireme_native_outcome trireme_native_request(trireme_native_client* client, const char* service, const char* path,
                                              const void* body, size_t length, double deadline,
                                              trireme_native_answer* answer) {
  return answered(answer, [&] { return client->client.request(call_of(service, path, body, length, deadline)); });
}

trireme_native_pending* trireme_native_submit(trireme_native_client* client, const char* service, const char* path,
                                              const void* body, size_t length, double deadline) {
  try {
    auto pending = std::make_unique<trireme_native_pending>();
    pending->pending = client->client.submit(call_of(service, path, body, length, deadline));
    return pending.release();
  } catch (const std::exception&) {
    return nullptr;
  }
}

trireme_native_outcome trireme_native_wait(trireme_native_pending* pending, trireme_native_answer* answer) {
  const std::unique_ptr<trireme_native_pending> owned(pending);
  return answered(answer, [&] {
    return owned ? owned->pending.get() : Outcome(Failure{Failure::Kind::lost, "the request was not sent"});
  });
}

void trireme_native_cancel(trireme_native_pending* pending) {
  if (pending != nullptr) pending->pending.cancel();
}

trireme_native_pending* trireme_native_share(const trireme_native_pending* pending) {
  return pending != nullptr ? new (std::nothrow) trireme_native_pending(*pending) : nullptr;
}

void trireme_native_drop(trireme_native_pending* pending) {
  delete pending;
}

void trireme_native_release(trireme_native_answer* answer) {
  delete static_cast<Outcome*>(answer->held);
  *answer = {.status = 0, .body = "", .length = 0, .error = "", .held = nullptr};
}

}  // extern "C"
