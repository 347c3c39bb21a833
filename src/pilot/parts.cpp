// The parts of replicas: their seats, their ends one by one, and what becomes of them when a node is lost.
#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "pilot/services.hpp"

namespace trireme::pilot {
namespace {

std::string words_for_loss(Rank rank, const std::string& reason) {
  return "node " + std::to_string(rank) + " was lost: " + reason;
}

AttemptEnd loss(std::string words) {
  AttemptEnd end;
  end.outcome = Outcome::lost;
  end.reason = std::move(words);
  return end;
}

}  // namespace

// --- seats ---------------------------------------------------------------------------------------

bool Services::take_seats(ReplicaRef ref) {
  std::vector<Rank> siblings;
  for (const Replica& other : at(ref.first).replicas) {
    for (const Part& part : other.parts) siblings.push_back(part.seat.rank);
  }
  for (Seat& seat : scheduler_.assign(seat_request(description(ref.first)), siblings)) {
    at(ref).parts.push_back({std::move(seat), false});
  }
  return !at(ref).parts.empty();
}

void Services::give_up_seats(ReplicaRef ref) {
  for (const Part& part : std::exchange(at(ref).parts, {})) {
    scheduler_.vacate(part.seat, description(ref.first).per_rank);
  }
}

/// Takes what is free of them; whether it has all now.
bool Services::occupy_seats(ReplicaRef ref) {
  bool all = true;
  for (Part& part : at(ref).parts) {
    if (!part.seat.occupied && !scheduler_.occupy(part.seat, description(ref.first).per_rank)) all = false;
  }
  return all;
}

bool Services::has_its_nodes(const Replica& replica) const {
  return std::all_of(replica.parts.begin(), replica.parts.end(),
                     [this](const Part& part) { return scheduler_.alive(part.seat.rank); });
}

// --- ends ----------------------------------------------------------------------------------------

Services::Part* Services::part_on(Replica& replica, Rank rank) {
  const auto part = std::find_if(replica.parts.begin(), replica.parts.end(),
                                 [rank](const Part& one) { return one.seat.rank == rank; });
  return part == replica.parts.end() ? nullptr : &*part;
}

/// Ends the parts that are left at once.
void Services::end_parts(ReplicaRef ref) {
  const Replica& replica = at(ref);
  for (const Part& part : replica.parts) {
    if (part.lives && scheduler_.alive(part.seat.rank)) {
      output_.send(part.seat.rank, StopReplica{.id = {ref.first, ref.second, replica.attempt}, .drain = Drain::none});
    }
  }
}

/// It cannot go on without a part that it has lost. The first reason stays.
void Services::break_up(ReplicaRef ref, Breakage why) {
  Replica& replica = at(ref);
  if (replica.broken) {
    replica.broken->lost_node = replica.broken->lost_node || why.lost_node;
    return;
  }
  replica.broken = std::move(why);
  replica.endpoint.state = ReplicaState::draining;
  end_parts(ref);
  changed(ref.first);
}

/// A part of a replica has ended; true if it was the last.
bool Services::part_ended(ReplicaRef ref, Rank rank, const ReplicaEnded& ended, MonoTime now) {
  Replica& replica = at(ref);
  Part* part = part_on(replica, rank);
  if (part == nullptr || !std::exchange(part->lives, false)) return false;
  changed(ref.first);
  const bool is_last = !any_lives(replica);
  const bool was_asked = replica.state == ReplicaState::draining;
  if (was_asked && part == &replica.parts.front()) end_parts(ref);
  if (!was_asked && !is_last) break_up(ref, {.end = ended.end, .was_stable = is_stable(ref, now)});
  return is_last;
}

// --- lost nodes ----------------------------------------------------------------------------------

void Services::on_node_silent(Rank rank, const std::string& reason) {
  for (std::uint32_t s = 0; s < size(); ++s) {
    for (std::uint32_t i = 0; i < services_[s].replicas.size(); ++i) {
      const ReplicaRef ref{ServiceIndex{s}, i};
      const Part* part = part_on(at(ref), rank);
      if (part != nullptr && part->lives) miss_part(ref, *part, loss(words_for_loss(rank, reason)));
    }
  }
}

void Services::on_node_lost(Rank rank, const std::string& reason) {
  const std::string text = words_for_loss(rank, reason);
  std::vector<std::pair<ReplicaRef, bool>> homeless;  // and whether it lived
  for (std::uint32_t s = 0; s < size(); ++s) {
    Service& service = services_[s];
    if (service.started && service.home == rank) {
      service.home = home_of({s});
      changed({s});
    }
    service.queued.erase(rank);
    for (std::uint32_t i = 0; i < service.replicas.size(); ++i) {
      const ReplicaRef ref{ServiceIndex{s}, i};
      if (part_on(at(ref), rank) == nullptr) continue;
      const bool was_live = is_live(at(ref).state);
      if (lose_part(ref, rank, text)) homeless.emplace_back(ref, was_live);
    }
  }
  for (const auto& [ref, was_live] : homeless) {
    if (at(ref).state == ReplicaState::waiting) resettle(ref, was_live, text);
  }
}

/// The other parts of a replica are of no use without one that is lost, or about to be.
void Services::miss_part(ReplicaRef ref, const Part& part, AttemptEnd why) {
  const Replica& replica = at(ref);
  const bool has_others = std::any_of(replica.parts.begin(), replica.parts.end(), [&](const Part& other) {
    return other.lives && other.seat.rank != part.seat.rank;
  });
  if (!has_others) return;
  const bool was_asked = replica.state == ReplicaState::draining && !replica.returning;
  if (!was_asked) {
    break_up(ref, {.end = std::move(why), .lost_node = true});
  } else if (&part == &replica.parts.front()) {
    end_parts(ref);
  }
}

/// A replica has lost one of its nodes. True if nothing of it is left that would have to end before it can move.
bool Services::lose_part(ReplicaRef ref, Rank rank, const std::string& why) {
  Replica& replica = at(ref);
  Part& part = *part_on(replica, rank);
  part.lives = false;
  changed(ref.first);
  if (any_lives(replica)) {
    miss_part(ref, part, loss(why));
    return false;
  }
  if (is_leaving(replica)) {
    life_over(ref, ReplicaState::ended, why);
    return false;
  }
  leave_nodes(ref, replica.broken ? why_ended(replica.broken->end) : why);
  return true;
}

/// It will need other seats.
void Services::leave_nodes(ReplicaRef ref, const std::string& why) {
  Replica& replica = at(ref);
  replica.outdated = replica.returning = false;
  replica.broken.reset();
  forget_plans(ref);
  if (is_live(replica.state)) note(ref, ReplicaState::ended, why);
  replica.state = ReplicaState::waiting;
  give_up_seats(ref);
}

/// Gives a replica that lost its node another place, or gives it up.
void Services::resettle(ReplicaRef ref, bool was_live, const std::string& why) {
  bool has_seat = take_seats(ref);
  if (!has_seat && seated(ref.first) >= description(ref.first).replicas)
    return life_over(ref, ReplicaState::ended, why);
  // What only the load had asked for, of whichever service, gives way to the first replicas.
  if (!has_seat) has_seat = shrink_to_min() && take_seats(ref);
  if (!has_seat) return fail(ref, why + "; no other node has room for it");
  if (was_live) ++at(ref).attempt;
  waiting_.push_back(ref);
  changed(ref.first);
}

}  // namespace trireme::pilot
