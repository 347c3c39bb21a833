// What the fabric promises while all ranks live, on any number of them. Every case makes fabrics of
// its own and closes them.
#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "harness.hpp"

using namespace trireme;
using namespace trireme::ranks;

namespace {

constexpr std::size_t mebi = 1u << 20;

std::unique_ptr<Fabric> make(MPI_Comm comm, const FabricConfig& config = {}) {
  auto fabric = Fabric::create(comm, config);
  if (!fabric) {
    std::fprintf(stderr, "%s\n", fabric.error().text().c_str());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  return std::move(fabric).value();
}

/// What the n-th message of a stream looks like: both ends can make it.
std::string pattern(Rank from, Rank to, MessageKind kind, std::uint32_t n) {
  std::mt19937 random(static_cast<std::uint32_t>(from * 7919 + to * 104729 + int(kind) * 31) + n);
  std::size_t size = random() % 300;
  if (n % 7 == 1) size = random() % (256u << 10);
  if (n % 16 == 3) size = random() % (8 * mebi + 1);
  if (n % 5 == 0) size = 0;
  std::string text(size, static_cast<char>(random()));
  for (std::size_t i = 0; i < size; i += 509) text[i] = static_cast<char>(random());
  return text;
}

void messages_arrive_intact_and_in_order(Checks& checks) {
  constexpr std::uint32_t count = 32;
  auto fabric = make(MPI_COMM_WORLD);
  std::map<std::pair<Rank, MessageKind>, std::uint32_t> received;
  std::uint64_t total = 0;
  Handler handler;
  handler.message = [&](Rank from, MessageKind kind, std::string_view payload) {
    const std::uint32_t n = received[{from, kind}]++;
    RANK_CHECK(checks, payload == pattern(from, fabric->rank(), kind, n));
    ++total;
  };
  std::vector<std::uint32_t> sent(static_cast<std::size_t>(fabric->size()), 0);
  const auto wanted = std::uint64_t{2} * count * static_cast<std::uint64_t>(fabric->size());
  RANK_CHECK(checks, poll_until(*fabric, handler, [&] {
               for (Rank to = 0; to < fabric->size(); ++to) {
                 auto& n = sent[static_cast<std::size_t>(to)];
                 if (n == count || fabric->backlog(to, MessageClass::bulk) > mebi) continue;
                 fabric->send(to, MessageClass::control, MessageKind::to_agent,
                              pattern(fabric->rank(), to, MessageKind::to_agent, n));
                 fabric->send(to, MessageClass::bulk, MessageKind::call_data,
                              pattern(fabric->rank(), to, MessageKind::call_data, n));
                 ++n;
               }
               return total == wanted &&
                      std::all_of(sent.begin(), sent.end(), [&](std::uint32_t n) { return n == count; });
             }));
  RANK_CHECK(checks, close(*fabric, handler));
  RANK_CHECK(checks, total == wanted);
  RANK_CHECK(checks, fabric->stats().frames_mismatched == 0);
  RANK_CHECK(checks, fabric->stats().mpi_errors == 0);
}

void control_overtakes_a_flood_of_bulk(Checks& checks) {
  auto fabric = make(MPI_COMM_WORLD);
  constexpr std::uint32_t count = 64;
  std::uint32_t bulk = 0;
  std::uint32_t bulk_before_control = count;
  bool control = false;
  Handler handler;
  handler.message = [&](Rank, MessageKind kind, std::string_view) {
    if (kind == MessageKind::call_data) ++bulk;
    if (kind != MessageKind::to_agent) return;
    control = true;
    bulk_before_control = bulk;
  };
  const Rank last = fabric->size() - 1;
  if (fabric->rank() == last && last > 0) {
    for (std::uint32_t n = 0; n < count; ++n) {
      fabric->send(0, MessageClass::bulk, MessageKind::call_data, std::string(mebi, 'b'));
    }
    fabric->send(0, MessageClass::control, MessageKind::to_agent, "now");
  } else if (fabric->rank() == 0 && last > 0) {
    RANK_CHECK(checks, poll_until(*fabric, handler, [&] { return control && bulk == count; }));
    // Two megabytes have credit and are ahead of it; the rest is not.
    RANK_CHECK(checks, bulk_before_control < count / 2);
  }
  RANK_CHECK(checks, close(*fabric, handler));
}

void a_peer_that_does_not_poll_fills_nobodys_memory(Checks& checks) {
  auto fabric = make(MPI_COMM_WORLD);
  if (fabric->size() == 1) return;
  constexpr int wake_tag = 7;
  constexpr std::uint64_t window = defaults::stream_window;
  constexpr std::uint64_t piece = 64u << 10;
  constexpr std::uint64_t total = 16 * mebi;
  std::uint64_t received = 0;
  Handler handler;
  handler.message = [&](Rank, MessageKind, std::string_view payload) { received += payload.size(); };
  if (fabric->rank() == 1) {
    char word = 0;
    MPI_Recv(&word, 1, MPI_CHAR, 0, wake_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    RANK_CHECK(checks, received == 0);
    RANK_CHECK(checks, poll_until(*fabric, handler, [&] { return received == total; }));
  } else if (fabric->rank() == 0) {
    std::uint64_t handed_over = 0;
    const auto push = [&] {
      while (handed_over < total && fabric->backlog(1, MessageClass::bulk) <= window) {
        fabric->send(1, MessageClass::bulk, MessageKind::call_data, std::string(piece, 'x'));
        handed_over += piece;
      }
    };
    // It never gets beyond credit and window, however often it polls.
    for (int i = 0; i < 2000; ++i) {
      push();
      poll_once(*fabric, handler);
    }
    const std::uint64_t credit = defaults::frame_credits * defaults::frame_bytes;
    RANK_CHECK(checks, handed_over > 0);
    RANK_CHECK(checks, handed_over <= credit + window + piece);
    RANK_CHECK(checks, fabric->backlog(1, MessageClass::bulk) <= window + piece + 64);
    const char word = 1;
    MPI_Send(&word, 1, MPI_CHAR, 1, wake_tag, MPI_COMM_WORLD);
    RANK_CHECK(checks, poll_until(*fabric, handler, [&] {
                 push();
                 return handed_over == total;
               }));
  }
  RANK_CHECK(checks, close(*fabric, handler));
}

void epochs_arrive_everywhere_once_and_in_order(Checks& checks) {
  constexpr std::uint64_t count = 1000;
  auto fabric = make(MPI_COMM_WORLD);
  const auto payload_of = [](std::uint64_t number) {
    std::size_t size = number % 50;
    if (number % 100 == 50) size = 20000;  // beyond the first broadcast
    if (number == 600) size = 3 * mebi;    // beyond a frame
    return std::string(size, static_cast<char>(number)) + std::to_string(number);
  };
  std::uint64_t held = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t published = 0;
  Handler handler;
  handler.epoch = [&](std::uint64_t number, std::string_view payload) {
    RANK_CHECK(checks, number == ++held);
    RANK_CHECK(checks, payload == payload_of(number));
  };
  handler.acknowledged = [&](std::uint64_t number) {
    RANK_CHECK(checks, number == ++acknowledged);
    RANK_CHECK(checks, number <= published);
  };
  std::mt19937 random(5);
  RANK_CHECK(checks, poll_until(*fabric, handler, [&] {
               if (fabric->rank() != 0) return held == count;
               for (auto burst = random() % 4; burst > 0 && published < count; --burst) {
                 RANK_CHECK(checks, fabric->publish(payload_of(published + 1)) == published + 1);
                 ++published;
               }
               return acknowledged == count;
             }));
  RANK_CHECK(checks, held == count);
  RANK_CHECK(checks, close(*fabric, handler));
  if (fabric->rank() == 0 && fabric->size() > 1) {
    RANK_CHECK(checks, fabric->stats().broadcasts > 0);
  }
}

/// With no time allowed for the broadcast every heartbeat asks for repair, so epochs come on both ways.
void epochs_that_come_twice_are_delivered_once(Checks& checks) {
  auto fabric = make(MPI_COMM_WORLD, {.heartbeat_every = 1ms, .epoch_repair_after = 0ms});
  std::uint64_t held = 0;
  std::uint64_t acknowledged = 0;
  Handler handler;
  handler.epoch = [&](std::uint64_t number, std::string_view) { RANK_CHECK(checks, number == ++held); };
  handler.acknowledged = [&](std::uint64_t number) { acknowledged = number; };
  const auto enough = [&] {
    if (fabric->rank() != 0) return held >= 300;
    const bool repaired = fabric->size() == 1 || fabric->stats().epochs_repaired >= 5;
    if (held < 300 || !repaired) fabric->publish("again");
    return held >= 300 && repaired && acknowledged >= held;
  };
  RANK_CHECK(checks, poll_until(*fabric, handler, enough));
  RANK_CHECK(checks, close(*fabric, handler));
}

void part_of_the_ranks_works_while_the_rest_computes(Checks& checks) {
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const bool ours = rank % 2 == 0;
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, ours ? 1 : MPI_UNDEFINED, rank, &half);
  if (ours) {
    auto fabric = make(half);
    std::uint64_t held = 0;
    Rank greeted = 0;
    Handler handler;
    handler.epoch = [&](std::uint64_t number, std::string_view) { held = number; };
    handler.message = [&](Rank, MessageKind, std::string_view) { ++greeted; };
    for (Rank to = 0; to < fabric->size(); ++to) {
      fabric->send(to, MessageClass::control, MessageKind::load, "hello");
    }
    if (fabric->rank() == 0) fabric->publish("half");
    RANK_CHECK(checks, poll_until(*fabric, handler, [&] { return held == 1 && greeted == fabric->size(); }));
    RANK_CHECK(checks, close(*fabric, handler));
    fabric.reset();
    MPI_Comm_free(&half);
  }
}

void two_fabrics_in_one_process_do_not_mix(Checks& checks) {
  auto one = make(MPI_COMM_WORLD);
  auto two = make(MPI_COMM_WORLD);
  std::string at_one;
  std::string at_two;
  Handler handler_one;
  Handler handler_two;
  handler_one.message = [&](Rank, MessageKind, std::string_view text) { at_one += text; };
  handler_two.message = [&](Rank, MessageKind, std::string_view text) { at_two += text; };
  const Rank next = (one->rank() + 1) % one->size();
  one->send(next, MessageClass::control, MessageKind::load, "one");
  two->send(next, MessageClass::control, MessageKind::load, "two");
  RANK_CHECK(checks, poll_until(*one, handler_one, [&] {
               two->poll(handler_two);
               return !at_one.empty() && !at_two.empty();
             }));
  RANK_CHECK(checks, close(*two, handler_two));
  RANK_CHECK(checks, close(*one, handler_one));
  RANK_CHECK(checks, at_one == "one");
  RANK_CHECK(checks, at_two == "two");
}

void what_was_sent_before_the_close_arrives(Checks& checks) {
  auto fabric = make(MPI_COMM_WORLD);
  Rank received = 0;
  std::size_t bytes_received = 0;
  std::uint64_t held = 0;
  Handler handler;
  handler.message = [&](Rank, MessageKind, std::string_view payload) {
    ++received;
    bytes_received += payload.size();
  };
  handler.epoch = [&](std::uint64_t number, std::string_view) { held = number; };
  for (Rank to = 0; to < fabric->size(); ++to) {
    fabric->send(to, MessageClass::bulk, MessageKind::call_data, std::string(5 * mebi, 'z'));
  }
  if (fabric->rank() == 0) fabric->publish("last words");
  RANK_CHECK(checks, close(*fabric, handler));
  RANK_CHECK(checks, received == fabric->size());
  RANK_CHECK(checks, bytes_received == static_cast<std::size_t>(fabric->size()) * 5 * mebi);
  RANK_CHECK(checks, held == 1);
  fabric->send(0, MessageClass::control, MessageKind::load, "too late");
  RANK_CHECK(checks, fabric->stats().messages_refused == 1);
}

void a_close_that_not_all_join_ends_at_its_deadline(Checks& checks) {
  auto fabric = make(MPI_COMM_WORLD);
  Handler handler;
  if (fabric->size() > 1 && fabric->rank() == 0) {
    fabric->begin_close(50ms);
    RANK_CHECK(checks, poll_until(*fabric, handler, [&] { return fabric->closed(); }));
    RANK_CHECK(checks, !fabric->clean());
  }
  // The others never close this one; its destructor must not wait for anything.
}

void who_has_said_goodbye_waits_for_a_slow_rank_0(Checks& checks) {
  if (checks.ranks != 2) return;  // it takes long, and more ranks would show no more
  FabricConfig config;
  config.heartbeat_every = 200ms;
  config.heartbeat_lost = 10s;
  auto created = Fabric::create(MPI_COMM_WORLD, config);
  RANK_CHECK(checks, created.ok());
  Fabric& fabric = **created;
  int losses = 0;
  Handler handler;
  handler.lost = [&](Rank, std::string_view) { ++losses; };
  if (fabric.rank() == 0) {
    const auto slow_until = Clock::now() + config.heartbeat_lost + 2s;
    RANK_CHECK(checks, poll_until(fabric, handler, [&] { return Clock::now() > slow_until; }));
  }
  RANK_CHECK(checks, close(fabric, handler));
  RANK_CHECK(checks, losses == 0);
}

void heartbeats_are_no_activity(Checks& checks) {
  FabricConfig config;
  config.heartbeat_every = 20ms;
  auto created = Fabric::create(MPI_COMM_WORLD, config);
  RANK_CHECK(checks, created.ok());
  Fabric& fabric = **created;
  Handler handler;
  bool active = false;
  const std::uint64_t wanted = fabric.size() == 1 ? 0 : 20;
  RANK_CHECK(checks, poll_until(fabric, handler, [&] {
               active |= fabric.poll(handler);
               return fabric.stats().frames_received >= wanted;
             }));
  RANK_CHECK(checks, !active);
  // Who says goodbye is active: nobody does before all have looked.
  MPI_Request all = MPI_REQUEST_NULL;
  MPI_Ibarrier(MPI_COMM_WORLD, &all);
  RANK_CHECK(checks, poll_until(fabric, handler, [&] {
               int done = 0;
               MPI_Test(&all, &done, MPI_STATUS_IGNORE);
               return done != 0;
             }));
  RANK_CHECK(checks, close(fabric, handler));
}

void each_rank_knows_that_rank_0_hears_it(Checks& checks) {
  auto fabric = make(MPI_COMM_WORLD);
  Handler handler;
  const auto before = Clock::now();
  RANK_CHECK(checks, poll_until(*fabric, handler, [&] { return fabric->heard_by_pilot() > before; }));
  const auto heard = fabric->heard_by_pilot();
  RANK_CHECK(checks, heard <= Clock::now());
  RANK_CHECK(checks, close(*fabric, handler));
}

struct Case {
  const char* name;
  void (*run)(Checks&);
};
constexpr Case cases[] = {
    {"messages arrive intact and in order", messages_arrive_intact_and_in_order},
    {"control overtakes a flood of bulk", control_overtakes_a_flood_of_bulk},
    {"a peer that does not poll fills nobody's memory", a_peer_that_does_not_poll_fills_nobodys_memory},
    {"epochs arrive everywhere, once and in order", epochs_arrive_everywhere_once_and_in_order},
    {"epochs that come twice are delivered once", epochs_that_come_twice_are_delivered_once},
    {"part of the ranks works while the rest computes", part_of_the_ranks_works_while_the_rest_computes},
    {"two fabrics in one process do not mix", two_fabrics_in_one_process_do_not_mix},
    {"what was sent before the close arrives", what_was_sent_before_the_close_arrives},
    {"who has said goodbye waits for a slow rank 0", who_has_said_goodbye_waits_for_a_slow_rank_0},
    {"heartbeats are no activity", heartbeats_are_no_activity},
    {"each rank knows that rank 0 hears it", each_rank_knows_that_rank_0_hears_it},
    {"a close that not all join ends at its deadline", a_close_that_not_all_join_ends_at_its_deadline},
};

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  Checks checks;
  MPI_Comm_rank(MPI_COMM_WORLD, &checks.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &checks.ranks);
  for (const Case& test : cases) {
    const auto start = Clock::now();
    test.run(checks);
    MPI_Barrier(MPI_COMM_WORLD);
    if (checks.rank == 0) {
      std::printf("%s (%.2f s)\n", test.name, std::chrono::duration<double>(Clock::now() - start).count());
      std::fflush(stdout);
    }
    if (checks.failed > 0) MPI_Abort(MPI_COMM_WORLD, 1);
  }
  MPI_Finalize();
  return checks.made > 0 ? 0 : 1;
}
