#include "pilot/fit.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>

#include "core/units.hpp"
#include "core/words.hpp"

namespace trireme::pilot {
namespace {

/// Ranks of the shape that an empty node holds.
std::uint64_t ranks_on(const Room& room, const Shape& shape) {
  const std::uint32_t ranks = room.ranks_that_fit(shape.per_rank);
  if (shape.ranks_per_node == 0) return ranks;
  const std::uint32_t wanted = std::min(shape.ranks_per_node, shape.ranks);
  return ranks >= wanted ? wanted : 0;
}

/// Ranks of the shape that the machine holds when nothing else is there.
std::uint64_t ranks_on_empty(const Scheduler& scheduler, const Shape& shape) {
  std::uint64_t ranks = 0;
  for (const Scheduler::Node& node : scheduler.nodes()) {
    if (node.alive) ranks += ranks_on(Room(node.total), shape);
  }
  return ranks;
}

/// What one node at most has, of the first thing that no node has enough of.
template <typename RoomOf>
std::string most_of(const Resources& wanted, const Scheduler& scheduler, RoomOf room_of) {
  Resources most;
  for (const Scheduler::Node& node : scheduler.nodes()) {
    if (!node.alive) continue;
    const Room room = room_of(node);
    most.cores = std::max(most.cores, room.cores());
    most.gpus = std::max(most.gpus, room.gpus());
    most.memory = std::max(most.memory, room.memory());
  }
  if (most.cores < wanted.cores) return counted(most.cores, "core");
  if (most.gpus < wanted.gpus) {
    return most.gpus == 0 ? "no GPU" : to_string(Resources{.gpus = most.gpus});
  }
  if (most.memory < wanted.memory) return format_size(most.memory) + " of memory";
  return "";
}

std::string needs(const Shape& shape) {
  const std::string alone = shape.exclusive ? " with nothing else on it" : "";
  if (shape.ranks == 1) return to_string(shape.per_rank) + " on one node" + alone;
  std::string text = counted(shape.ranks, "rank") + " with " + to_string(shape.per_rank) + " each";
  if (shape.ranks_per_node > 0) text += ", " + std::to_string(shape.ranks_per_node) + " on each node" + alone;
  return text;
}

std::size_t living(const Scheduler& scheduler) {
  return static_cast<std::size_t>(
      std::count_if(scheduler.nodes().begin(), scheduler.nodes().end(), [](const auto& node) { return node.alive; }));
}

Error error(std::string what, std::string hint) {
  return {.what = std::move(what), .where = "", .hint = std::move(hint), .code = ExitCode::does_not_fit};
}

Scheduler machine(std::span<const NodeSize> nodes, SeatPolicy policy) {
  Scheduler scheduler;
  for (const NodeSize& node : nodes) scheduler.add_node(node.rank, node.total);
  scheduler.set_seat_policy(policy);
  return scheduler;
}

std::optional<Error> seat_all(std::span<const ServiceNeed> services, Scheduler& scheduler) {
  for (std::size_t index : seat_order(services)) {
    const ServiceNeed& service = services[index];
    std::vector<Rank> taken;
    for (std::uint32_t seated = 0; seated < service.replicas; ++seated) {
      const std::vector<Seat> seats = scheduler.assign(service.replica, taken);
      if (seats.empty()) return service_does_not_fit(service, seated, scheduler);
      for (const Seat& seat : seats) taken.push_back(seat.rank);
    }
  }
  return std::nullopt;
}

std::optional<Error> first_misfit(std::span<const TaskNeed> tasks, Scheduler& scheduler) {
  for (const TaskNeed& task : tasks) {
    if (!scheduler.possible(scheduler.shape_index(task.shape))) {
      return task_does_not_fit(task, scheduler);
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::size_t> seat_order(std::span<const ServiceNeed> services) {
  std::vector<std::size_t> order(services.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const Resources x = services[a].replica.per_rank.times(services[a].replica.ranks);
    const Resources y = services[b].replica.per_rank.times(services[b].replica.ranks);
    return std::tie(x.gpus, x.cores, x.memory) > std::tie(y.gpus, y.cores, y.memory);
  });
  return order;
}

Error task_does_not_fit(const TaskNeed& task, const Scheduler& scheduler) {
  const Shape& shape = task.shape;
  const std::string who = "task " + task.id;
  const std::uint64_t empty = ranks_on_empty(scheduler, shape);
  const std::uint64_t beside = scheduler.ranks_beside_seats(shape);
  const bool by_services = empty >= shape.ranks;
  if (by_services) {
    std::string left;
    if (shape.ranks == 1) {
      left = most_of(shape.per_rank, scheduler, [](const auto& node) { return node.beside; });
      left = left.empty() ? "no node has all of that left" : "they leave at most " + left + " on a node";
    } else {
      left = "they leave room for " + std::to_string(beside);
    }
    return error(who + " can never run beside the services: it needs " + needs(shape) + "; " + left,
                 "use more or larger nodes, or give the services less");
  }
  std::string there;
  if (shape.ranks == 1) {
    there = most_of(shape.per_rank, scheduler, [](const auto& node) { return Room(node.total); });
    there = there.empty() ? "no node has all of that" : "the largest node has " + there;
  } else {
    there = "the machine (" + counted(living(scheduler), "node") + ") has room for " + std::to_string(empty);
  }
  return error(who + " needs " + needs(shape) + "; " + there, "ask for less, or run on more or larger nodes");
}

Error service_does_not_fit(const ServiceNeed& service, std::uint32_t seated, const Scheduler& scheduler) {
  const SeatRequest& replica = service.replica;
  const Shape shape{.per_rank = replica.per_rank, .ranks = replica.ranks, .ranks_per_node = replica.ranks_per_node};
  const std::string each = replica.ranks == 1 ? to_string(replica.per_rank) : needs(shape);
  const std::string wanted = service.replicas > 1 ? std::to_string(service.replicas) + " x " + each
                             : replica.ranks == 1 ? each + " on one node"
                                                  : each;
  std::string there;
  if (seated > 0) {
    there =
        "the machine (" + counted(living(scheduler), "node") + ") has room for " + std::to_string(seated) + " of them";
  } else if (replica.ranks > 1) {
    const std::uint64_t beside = scheduler.ranks_beside_seats(shape);
    there = "the machine (" + counted(living(scheduler), "node") + ") has room for " + std::to_string(beside) +
            (beside < ranks_on_empty(scheduler, shape) ? " beside the other services" : "");
  } else {
    const std::string largest = most_of(replica.per_rank, scheduler, [](const auto& node) { return Room(node.total); });
    there = largest.empty() ? "no node has all of that beside the other services" : "the largest node has " + largest;
  }
  return error("service " + std::string(service.name) + " needs " + wanted + "; " + there,
               "ask for less, or run on more or larger nodes");
}

Result<SeatPolicy> check_fit(std::span<const NodeSize> nodes, std::span<const ServiceNeed> services,
                             std::span<const TaskNeed> tasks) {
  std::optional<Error> error_when_spread;
  for (SeatPolicy policy : {SeatPolicy::spread, SeatPolicy::pack}) {
    Scheduler scheduler = machine(nodes, policy);
    std::optional<Error> error = seat_all(services, scheduler);
    if (!error) error = first_misfit(tasks, scheduler);
    if (!error) return policy;
    if (!error_when_spread) error_when_spread = std::move(error);
  }
  return *error_when_spread;
}

}  // namespace trireme::pilot
