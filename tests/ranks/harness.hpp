// The little that tests under mpirun need: checks that count, a handler made of functions, polling
// with a deadline.
#pragma once

#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "fabric/fabric.hpp"

namespace trireme::ranks {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Far beyond what any machine needs; a test that waits this long has failed.
constexpr auto patience = 60s;

struct Checks {
  int rank = 0;
  int ranks = 1;
  int failed = 0;
  int made = 0;
  void check(bool ok, const char* what, const char* file, int line) {
    ++made;
    if (ok) return;
    ++failed;
    std::fprintf(stderr, "rank %d: %s:%d: not true: %.80s\n", rank, file, line, what);
  }
};
#define RANK_CHECK(checks, condition) (checks).check((condition), #condition, __FILE__, __LINE__)

/// Calls whatever functions are set.
struct Handler final : TransportHandler {
  std::function<void(Rank, MessageKind, std::string_view)> message;
  std::function<void(Rank, std::string_view)> lost;
  std::function<void(std::uint64_t, std::string_view)> epoch;
  std::function<void(std::uint64_t)> acknowledged;

  void on_message(Rank from, MessageKind kind, std::string_view payload) override {
    if (message) message(from, kind, payload);
  }
  void on_rank_lost(Rank rank, std::string_view reason) override {
    if (lost) lost(rank, reason);
  }
  void on_epoch(std::uint64_t number, std::string_view payload) override {
    if (epoch) epoch(number, payload);
  }
  void on_epoch_acknowledged(std::uint64_t number) override {
    if (acknowledged) acknowledged(number);
  }
};

/// Polls once; sleeps a little when nothing happened, because ranks may be more than cores.
inline void poll_once(Fabric& fabric, TransportHandler& handler) {
  if (!fabric.poll(handler)) std::this_thread::sleep_for(20us);
}

/// Polls until `done`; false if that takes longer than patience.
template <typename Done>
bool poll_until(Fabric& fabric, TransportHandler& handler, Done&& done) {
  const auto deadline = Clock::now() + patience;
  while (!done()) {
    poll_once(fabric, handler);
    if (Clock::now() > deadline) return false;
  }
  return true;
}

/// Closes in order; true if it was clean.
inline bool close(Fabric& fabric, TransportHandler& handler) {
  fabric.begin_close(patience);
  return poll_until(fabric, handler, [&] { return fabric.closed(); }) && fabric.clean();
}

inline std::string bytes(std::uint64_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace trireme::ranks
