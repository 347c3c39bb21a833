// What the fabric promises when a rank is lost: `kill` (SIGKILL), `freeze` (SIGSTOP, and it wakes
// up again), `overflow` (it takes nothing in). The others hear of it once, and go on: messages
// among them, epochs to all of them.
//
// The ranks end without MPI_Finalize, as after any loss, so the launcher's exit code says nothing:
// rank 0 prints the verdict.
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::ranks;

namespace {

constexpr std::uint64_t epochs_before = 20;
constexpr std::uint64_t epochs_after = 40;
constexpr std::uint32_t messages_after = 50;

FabricConfig config_of(std::string_view mode) {
  FabricConfig config;
  config.heartbeat_every = 50ms;
  config.heartbeat_lost = 15s;
  if (mode == "overflow") {
    config.heartbeat_lost = patience;
    config.control_backlog = 8u << 20;
  }
  return config;
}

struct Rehearsal {
  std::string_view mode;
  Fabric& fabric;
  Checks& checks;
  Handler handler;
  Rank victim;
  std::uint64_t held = 0;
  std::uint64_t acknowledged = 0;
  int losses = 0;
  std::vector<std::uint32_t> heard;
  std::uint64_t victim_pid = 0;
  int reports = 0;
  int good_reports = 0;

  Rehearsal(std::string_view which, Fabric& of, Checks& counted)
      : mode(which), fabric(of), checks(counted), victim(of.size() - 1) {
    heard.resize(static_cast<std::size_t>(fabric.size()));
    handler.epoch = [this](std::uint64_t number, std::string_view payload) {
      RANK_CHECK(checks, number == ++held);
      RANK_CHECK(checks, payload == std::to_string(number));
    };
    handler.acknowledged = [this](std::uint64_t number) { RANK_CHECK(checks, number == ++acknowledged); };
    handler.lost = [this](Rank rank, std::string_view reason) {
      std::printf("rank %d: rank %d is lost: %.*s\n", fabric.rank(), rank, static_cast<int>(reason.size()),
                  reason.data());
      ++losses;
      RANK_CHECK(checks, rank == (fabric.rank() == victim ? pilot_rank : victim));
      RANK_CHECK(checks, fabric.is_lost(rank));
      RANK_CHECK(checks, !reason.empty());
    };
    handler.message = [this](Rank from, MessageKind kind, std::string_view payload) {
      if (kind == MessageKind::load) ++heard[static_cast<std::size_t>(from)];
      if (kind == MessageKind::slot_ask) std::memcpy(&victim_pid, payload.data(), 8);
      if (kind != MessageKind::from_agent) return;
      ++reports;
      if (payload == "good") ++good_reports;
    };
  }

  bool is_pilot() const { return fabric.rank() == pilot_rank; }
  template <typename Done>
  bool poll(Done&& done) {
    return poll_until(fabric, handler, std::forward<Done>(done));
  }

  void be_the_victim() {
    RANK_CHECK(checks, poll([&] { return held == epochs_before; }));
    // Large messages are half way when it happens.
    for (Rank to = 0; to < victim; ++to) {
      for (int i = 0; i < 8; ++i) {
        fabric.send(to, MessageClass::bulk, MessageKind::call_data, std::string(1u << 20, 'v'));
      }
    }
    for (int i = 0; i < 3; ++i) fabric.poll(handler);
    if (mode == "overflow") {
      pause();
    } else if (mode == "kill" || mode == "quiet") {
      raise(SIGKILL);
    }
    raise(SIGSTOP);
    // Rank 0 has woken us: we are not spoken to any more, and hear of it by that.
    RANK_CHECK(checks, poll([&] { return losses == 1; }));
    std::printf("the frozen rank woke up alone\n");
  }

  void live_on() {
    RANK_CHECK(checks, poll([&] {
                 if (mode == "overflow" && is_pilot() && held == epochs_before) {
                   fabric.send(victim, MessageClass::control, MessageKind::load, std::string(100000, 'c'));
                 }
                 // What the dead do not take is on its way when they die, too.
                 if (mode != "overflow" && mode != "quiet" && fabric.backlog(victim, MessageClass::bulk) < (1u << 20)) {
                   fabric.send(victim, MessageClass::bulk, MessageKind::call_data, std::string(200000, 'l'));
                 }
                 return fabric.is_lost(victim) && losses == 1;
               }));
    if (is_pilot()) {
      for (std::uint64_t i = 0; i < epochs_after; ++i) {
        fabric.publish(std::to_string(epochs_before + i + 1));
      }
      if (mode == "freeze") kill(static_cast<pid_t>(victim_pid), SIGCONT);
    }
    for (std::uint32_t i = 0; i < messages_after; ++i) {
      for (Rank to = 0; to < fabric.size(); ++to) {
        fabric.send(to, i % 2 == 0 ? MessageClass::control : MessageClass::bulk, MessageKind::load,
                    std::string(i * 3000, 'm'));
      }
    }
    RANK_CHECK(checks, poll([&] {
                 bool all = held == epochs_before + epochs_after;
                 if (is_pilot()) all = all && acknowledged == held;
                 // What the one that woke up still says reaches us, and is dropped.
                 if (is_pilot() && mode == "freeze") all = all && fabric.stats().frames_from_lost > 0;
                 for (Rank from = 0; from < victim; ++from) {
                   all = all && heard[static_cast<std::size_t>(from)] == messages_after;
                 }
                 return all;
               }));
    RANK_CHECK(checks, losses == 1);
    fabric.send(pilot_rank, MessageClass::control, MessageKind::from_agent, checks.failed == 0 ? "good" : "bad");
    if (is_pilot()) RANK_CHECK(checks, poll([&] { return reports == victim; }));
    // All of the living say goodbye; the run is over, but MPI's finalisation is not for them.
    fabric.begin_close(patience);
    RANK_CHECK(checks, poll([&] { return fabric.closed(); }));
    RANK_CHECK(checks, !fabric.clean());
    // Who ends without MPI_Finalize makes the launcher end the others: rank 0 speaks first.
    constexpr int said_tag = 9;
    char said = 0;
    if (!is_pilot()) {
      MPI_Recv(&said, 1, MPI_CHAR, pilot_rank, said_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      return;
    }
    std::printf("the living went on: %d of %d\n", good_reports, victim);
    std::fflush(stdout);
    for (Rank other = 1; other < victim; ++other) MPI_Send(&said, 1, MPI_CHAR, other, said_tag, MPI_COMM_WORLD);
    if (mode == "overflow") kill(static_cast<pid_t>(victim_pid), SIGKILL);
  }

  void run() {
    if (is_pilot()) {
      for (std::uint64_t i = 0; i < epochs_before; ++i) fabric.publish(std::to_string(i + 1));
    }
    if (fabric.rank() == victim) {
      fabric.send(pilot_rank, MessageClass::control, MessageKind::slot_ask,
                  bytes(static_cast<std::uint64_t>(getpid())));
      return be_the_victim();
    }
    RANK_CHECK(checks, poll([&] {
                 return is_pilot() ? acknowledged == epochs_before && victim_pid != 0 : held == epochs_before;
               }));
    live_on();
  }
};

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  const std::string_view mode = argc > 1 ? argv[1] : "";
  Checks checks;
  MPI_Comm_rank(MPI_COMM_WORLD, &checks.rank);
  auto fabric = Fabric::create(MPI_COMM_WORLD, config_of(mode));
  if (!fabric) return 1;
  Rehearsal(mode, **fabric, checks).run();
  std::fflush(stdout);
  std::fflush(stderr);
  _exit(checks.failed == 0 ? 0 : 1);
}
