// What runs where next: nodes with free resources on one side, queues of requests on the other.
//
// Tasks that ask for the same are one shape, with one queue (highest priority first, then in order
// of submission), so that a decision looks at shapes and not at tasks. Shapes are tried in the
// order of their heads. A node is only handed what fits its free resources now.
//
// Where: a task of one rank and at most one core goes to the node with the most room, so that small
// tasks spread over all nodes. A larger one goes to the node with the least room that still holds
// it, so that large holes stay large. Ranks that fit no single node are spread over as few nodes as
// possible, and only if all of them can be placed at once.
//
// Nothing starves: a head that was overtaken defaults::overtakes times reserves the nodes where it
// will fit first, and what comes after it in order is kept off these until it is placed. One shape
// at a time holds a reservation.
//
// Replicas of services have seats. A seat is chosen among what the nodes have beside other seats,
// whether tasks run there or not; a node with a seat that is not yet occupied is handed no tasks.
// So it is known at any time what room tasks can ever have, and a request that is beyond it is
// stranded and never silently waits.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "core/resources.hpp"
#include "pilot/room.hpp"

namespace trireme::pilot {

/// What a task asks for.
struct Shape {
  Resources per_rank;
  std::uint32_t ranks = 1;
  auto operator<=>(const Shape&) const = default;
};
using ShapeIndex = Id<struct ShapeTag>;

/// The ranks of an attempt that run on one node.
struct Part {
  Rank rank = 0;
  std::uint32_t first_rank = 0;
  std::uint32_t local_ranks = 1;
  Grant grant;
};

/// A decision: this task, there. All its parts have been taken out of what is free.
struct Placement {
  TaskIndex task;
  std::vector<Part> parts;  ///< in order of first_rank
};

/// Where a replica lives, from when it is given the place until it gives it up.
struct Seat {
  Rank rank = 0;
  bool occupied = false;  ///< its resources are out of what is free: it may start
  Grant beside;
  Grant free;
};

/// How replicas are spread: over as many nodes as possible, or over as few, where tasks need whole
/// nodes.
enum class SeatPolicy : std::uint8_t { spread, pack };

class Scheduler {
 public:
  struct Node {
    bool alive = false;
    bool reserved = false;         ///< for the shape that holds the reservation
    std::uint32_t unoccupied = 0;  ///< seats whose replicas wait for tasks to end
    Resources total;
    Room free;    ///< now
    Room beside;  ///< when no task runs
  };

  // Nodes.
  void add_node(Rank rank, const Resources& total);
  /// Forgets a node and all that was taken there; giving that back later does nothing.
  void remove_node(Rank rank);
  bool alive(Rank rank) const;
  /// By rank; those that are not alive have nothing.
  std::span<const Node> nodes() const { return nodes_; }

  // Tasks.
  ShapeIndex shape_index(const Shape& shape);
  const Shape& shape(ShapeIndex index) const { return shapes_[index.value].shape; }
  void enqueue(TaskIndex task, ShapeIndex shape, std::int32_t priority);
  /// Takes a task that is queued out of its queue.
  void remove(TaskIndex task, ShapeIndex shape);
  /// The next task that can start now; false if none can. `out` is filled anew.
  bool next(Placement& out);
  void release(ShapeIndex shape, const Part& part);
  /// Whether the shape fits beside all seats once no task runs.
  bool possible(ShapeIndex shape);
  /// Empties the queues of shapes that `next` found to be impossible.
  std::vector<std::pair<TaskIndex, ShapeIndex>> take_stranded();

  // Replicas.
  void set_seat_policy(SeatPolicy policy) { seat_policy_ = policy; }
  /// Gives a replica a seat; `siblings` are the seats' ranks of the same service. None if no node
  /// can hold it.
  std::optional<Seat> assign(const Resources& per_replica, std::span<const Rank> siblings);
  /// Takes the seat's resources once they are free; false until then.
  bool occupy(Seat& seat, const Resources& per_replica);
  void vacate(const Seat& seat, const Resources& per_replica);

 private:
  struct Entry {
    std::int32_t priority = 0;
    TaskIndex task;
    /// std heap functions keep the largest in front: the highest priority, then the first
    /// submitted.
    friend bool operator<(const Entry& a, const Entry& b) {
      return a.priority != b.priority ? a.priority < b.priority : a.task > b.task;
    }
  };
  struct Queue {
    Shape shape;
    std::vector<Entry> heap;       ///< may hold tasks that were removed, but not in front
    std::uint64_t blocked_at = 0;  ///< the version at which the head did not fit
    std::uint32_t overtaken = 0;   ///< times, since its head came to the front
    std::uint64_t checked_at = 0;  ///< the capacity for which `possible` holds
    bool possible = true;
  };
  struct Turn {
    Entry head;
    ShapeIndex shape;
    friend bool operator<(const Turn& a, const Turn& b) { return b.head < a.head; }
  };
  /// What a request takes the most of: the amount by which nodes are searched for it.
  enum class Measure : std::uint8_t { cores, gpus, coreless };
  using Amount = std::pair<std::uint64_t, Rank>;

  static Measure measure_of(const Resources& per_rank);
  static std::uint64_t amount(const Room& room, Measure measure);
  std::set<Amount>& index(Measure m) { return by_amount_[static_cast<std::size_t>(m)]; }
  template <typename Change>
  void change_free(Rank rank, Change change);
  bool usable(Rank rank, bool reserved_too) const;
  std::optional<Rank> find_node(const Shape& shape, bool reserved_too);
  bool place(const Shape& shape, bool reserved_too, std::vector<Part>& parts);
  bool place_over_nodes(const Shape& shape, bool reserved_too, std::vector<Part>& parts);
  void put(const Shape& shape, Rank rank, std::uint32_t ranks, std::vector<Part>& parts);
  TaskIndex pop(ShapeIndex shape);
  void head_changed(ShapeIndex shape, std::optional<Entry> before);
  void reserve(ShapeIndex shape);
  void lift_reservation();
  void capacity_changed();

  std::vector<Node> nodes_;
  std::set<Amount> by_amount_[3];  ///< living nodes by what they have free, for each Measure
  std::uint64_t free_cores_ = 0;   ///< of all nodes
  std::vector<Queue> shapes_;
  std::vector<std::pair<Shape, ShapeIndex>> known_;  ///< sorted
  std::set<Turn> order_;                             ///< queues that are not empty
  std::vector<bool> queued_;                         ///< by task
  std::vector<ShapeIndex> stranded_;
  ShapeIndex holder_;  ///< of the reservation
  SeatPolicy seat_policy_ = SeatPolicy::spread;
  std::uint64_t version_ = 1;   ///< counts up when something that was blocked may fit
  std::uint64_t capacity_ = 1;  ///< counts up when `possible` may change
};

}  // namespace trireme::pilot
