// What runs where next: nodes with free resources on one side, queues of requests on the other.
//
// Tasks that ask for the same are one shape, with one queue (highest priority first, then in order
// of submission), so that a decision looks at shapes and not at tasks. Shapes are tried in the
// order of their heads. A node is only handed what fits its free resources now.
//
// Where: a task of one rank and at most one core goes to the node with the most room, so that small
// tasks spread over all nodes; but where somebody waits for several nodes, and for larger tasks, it
// is the node with the least room that still holds it, so that large holes stay large. Ranks that
// fit no single node are spread over as few nodes as possible, and only if all of them can be placed
// at once.
//
// What fits nowhere is not looked for again: a shape that was blocked looks only at the nodes that
// got something back since, and one with several ranks keeps count of how many of them there is
// room for.
//
// Nothing starves: a queue whose head was overtaken defaults::overtakes times reserves the nodes where
// it will probably fit first, and nodes that come free as a whole. They are kept for it: only the holder
// and what has a higher priority is put there. That ends when the holder is placed; a shape of several
// ranks goes on until one more of it runs than before, unless it is far ahead of its turn by then. One
// shape of one rank and one of several may hold a reservation at a time.
//
// Nodes emptied together are worth keeping together: those that a task of several ranks leaves are kept
// for the next of its shape, which inherits them. Some are given up where it is far ahead of its turn, or
// where somebody who comes first has seen defaults::overtakes heirs pass.
//
// Shapes that are to be colocated go where the first of them went. An exclusive one goes to empty
// nodes, which nothing else enters while it is there.
//
// Replicas of services have seats. A seat is chosen among what the nodes have beside other seats,
// whether tasks run there or not; a node with a seat that is not yet occupied is handed no tasks.
// So it is known at any time what room tasks can ever have, and a request that is beyond it is
// stranded and never silently waits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "core/prefetch.hpp"
#include "core/resources.hpp"
#include "pilot/node_index.hpp"
#include "pilot/room.hpp"
#include "pilot/task_queue.hpp"

namespace trireme::pilot {

using ColocateIndex = Id<struct ColocateTag>;  ///< tasks with the same `colocate`

/// What a task asks for.
struct Shape {
  Resources per_rank;
  std::uint32_t ranks = 1;
  std::uint32_t ranks_per_node = 0;  ///< exactly so many on a node, fewer on the last; 0: as they fit
  bool exclusive = false;            ///< on nodes where nothing else is
  ColocateIndex colocate;
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
  std::vector<Part> parts;  ///< in order of first_rank, which is that of nodes
};

/// Where ranks of a replica live, from when they are given the place until they give it up.
struct Seat {
  Rank rank = 0;
  std::uint32_t ranks = 1;
  bool occupied = false;  ///< its resources are out of what is free: it may start
  bool leaving = false;   ///< the place no longer counts as a seat: whoever is there ends, as a task does
  Grant beside;
  Grant free;
};

/// What a replica asks for.
struct SeatRequest {
  Resources per_rank;
  std::uint32_t ranks = 1;
  std::uint32_t ranks_per_node = 0;  ///< exactly so many on a node, fewer on the last; 0: on as few nodes as possible
};

/// How replicas are spread: over as many nodes as possible, or over as few, where tasks need whole
/// nodes.
enum class SeatPolicy : std::uint8_t { spread, pack };

class Scheduler {
 public:
  /// What is looked at while something is placed is in its first two cache lines.
  struct alignas(64) Node {
    Room free;  ///< now
    bool alive = false;
    bool exclusive = false;        ///< one attempt has it for itself
    ShapeIndex kept_for;           ///< and for what is more urgent
    std::uint32_t unoccupied = 0;  ///< seats whose replicas wait for tasks to end
    std::uint32_t seats = 0;       ///< all of them
    std::uint32_t taken = 0;       ///< parts and replicas that are there now
    std::uint32_t wide = 0;        ///< those of them whose task has several ranks
    Resources total;
    Room beside;  ///< when no task runs
  };

  // Nodes.
  void add_node(Rank rank, const Resources& total);
  /// Forgets a node and all that was taken there; giving that back later does nothing.
  void remove_node(Rank rank);
  bool alive(Rank rank) const;
  /// By rank; those that are not alive have nothing.
  std::span<const Node> nodes() const { return nodes_; }
  /// It will soon change.
  void fetch(Rank rank) const {
    if (alive(rank)) prefetch(at(rank));
  }

  // Tasks.
  ShapeIndex shape_index(const Shape& shape);
  const Shape& shape(ShapeIndex index) const { return shapes_[index.value].shape; }
  void enqueue(TaskIndex task, ShapeIndex shape, std::int32_t priority);
  /// Takes a task that is queued out of its queue.
  void remove(TaskIndex task, ShapeIndex shape);
  /// The next task that can start now; false if none can. `out` is filled anew.
  bool next(Placement& out);
  void release(ShapeIndex shape, const Part& part);
  /// Of the queued task that comes first, or of those that wait at nodes; none where no task waits for resources.
  std::optional<std::int32_t> highest_priority() const {
    return order_.empty() ? ahead_ : std::max(std::optional(order_.front().head.priority), ahead_);
  }
  /// Tasks that were taken out of their queue wait at nodes, and none has a lower priority than this.
  void set_ahead(std::optional<std::int32_t> priority) { ahead_ = priority; }
  /// Who waits for resources.
  struct Line {
    ShapeIndex shape;        ///< that of the task which comes first; none where no task waits
    bool contested = false;  ///< others wait as well, of another shape or for a seat, or nodes are kept for somebody
  };
  Line line() const {
    const bool contested = order_.size() > 1 || unoccupied_ > 0 || !keepers_.empty();
    return {order_.empty() ? ShapeIndex{} : order_.front().shape, contested};
  }
  /// The first of the shape that waits, and how many do. There must be one.
  TaskQueue::Entry first(ShapeIndex shape) const { return shapes_[shape.value].tasks.front(); }
  std::uint32_t queued(ShapeIndex shape) const { return shapes_[shape.value].queued; }
  /// Takes the first of the shape that waits out of its queue, though nothing is free.
  TaskIndex take_first(ShapeIndex shape) { return pop(shape); }
  /// How many tasks of the shape, of one rank each, there is room for now, if it is less than `most`.
  std::uint32_t room_now(ShapeIndex shape, std::uint32_t most) const;
  /// Another number, whenever there may be more room than before.
  std::uint64_t changes() const { return freed_before_ + freed_.size() + capacity_; }
  std::uint32_t living() const { return living_; }
  /// Whether the shape fits beside all seats once no task runs.
  bool possible(ShapeIndex shape);
  /// How many ranks of the shape there is room for once no task runs.
  std::uint64_t ranks_beside_seats(const Shape& shape) const;
  /// Empties the queues of shapes that `next` found to be impossible.
  std::vector<std::pair<TaskIndex, ShapeIndex>> take_stranded();

  // Replicas.
  void set_seat_policy(SeatPolicy policy) { seat_policy_ = policy; }
  /// Gives a replica its seats, one on each node, in the order of ranks; `siblings` are the nodes of the same service's other
  /// replicas. Empty if the nodes cannot hold it.
  std::vector<Seat> assign(const SeatRequest& request, std::span<const Rank> siblings);
  /// Takes the seat's resources once they are free; false until then.
  bool occupy(Seat& seat, const Resources& per_rank);
  /// Whoever has the seat will end: what comes later need not fit beside it.
  void leave(Seat& seat, const Resources& per_rank);
  void vacate(const Seat& seat, const Resources& per_rank);

 private:
  /// How far a shape of several ranks may be ahead of its turn and keep all its nodes, and how much further behind or ahead it
  /// must get before it is given more or loses some again: in tasks, as a part of what runs.
  static constexpr double most_ahead = 8;
  static constexpr double worth_a_change = 2;

  using Entry = TaskQueue::Entry;
  struct Queue {
    Shape shape;
    TaskQueue tasks;                      ///< may hold tasks that were removed, but not in front
    std::uint32_t queued = 0;             ///< those that were not
    std::uint64_t blocked_at = 0;         ///< nodes freed when the head fitted nowhere; 0: not known
    std::uint64_t checked_at = 0;         ///< the capacity for which `possible` holds
    std::array<std::uint64_t, 2> room{};  ///< ranks that fit now, if several: on nodes not kept for others, on all
    std::uint64_t running = 0;            ///< ranks
    std::uint32_t overtaken = 0;          ///< times that the head was, as far as it is known
    Entry passer;                         ///< who overtook last
    std::uint32_t passed = 0;             ///< times that the head was, by tasks that inherited their nodes
    std::vector<Rank> kept;               ///< nodes, for it
    double behind_then = worth_a_change;  ///< its turn, when it last got more nodes; reset once it has caught up
    double ahead_then = most_ahead;       ///< of its turn, when it last gave up nodes; reset once it is less far
    std::uint32_t to_give_up = 0;         ///< ranks whose nodes the next is not to inherit
    bool possible = true;
  };
  struct Turn {
    Entry head;
    ShapeIndex shape;
    bool before(const Turn& other) const { return head == other.head ? shape < other.shape : head.before(other.head); }
  };
  struct Colocation {
    std::vector<Rank> nodes;         ///< where the first one went; empty until then
    std::vector<ShapeIndex> shapes;  ///< of its tasks
  };
  /// What a request takes the most of: the amount by which nodes are searched for it.
  enum class Measure : std::uint8_t { cores, gpus, coreless };
  static constexpr std::size_t measures = 3;

  static Measure measure_of(const Resources& per_rank);
  static std::uint32_t amount(const Room& room, Measure measure);
  Node& at(Rank rank) { return nodes_[static_cast<std::size_t>(rank)]; }
  const Node& at(Rank rank) const { return nodes_[static_cast<std::size_t>(rank)]; }
  NodeIndex& index(Measure m) { return by_amount_[static_cast<std::size_t>(m)]; }
  const NodeIndex& index(Measure m) const { return by_amount_[static_cast<std::size_t>(m)]; }
  template <typename Change>
  void change_free(Rank rank, Change change);
  template <typename Change>
  void change_standing(Rank rank, Change change);
  void freed(Rank rank);

  // Queues.
  TaskIndex pop(ShapeIndex shape);
  void move_turn(ShapeIndex shape, std::optional<Entry> before);
  void capacity_changed();

  // Seats.
  Seat take_seat(Rank rank, std::uint32_t ranks, const Resources& per_rank);
  /// Whether one node suits a replica better than another, of two that can hold it.
  auto better_seat(const Resources& per_rank, std::span<const Rank> siblings) const;

  // Placing.
  static Resources whole(const Node& node);
  bool usable(Rank rank) const { return at(rank).alive && at(rank).unoccupied == 0 && !at(rank).exclusive; }
  bool may_use(ShapeIndex shape, Rank rank) const;
  bool more_urgent(ShapeIndex shape, ShapeIndex keeper) const;
  std::uint32_t ranks_on(const Shape& shape, Rank rank, bool now) const;
  void count(Rank rank, bool add);
  void recount(ShapeIndex shape);
  static std::optional<std::uint32_t> least_amount(const Resources& per_rank, std::uint32_t ranks, Measure measure);
  bool may_begin(const Shape& shape, Rank rank) const;
  std::optional<Rank> find_node(ShapeIndex shape);
  bool place(ShapeIndex shape, std::vector<Part>& parts);
  bool place_over_nodes(ShapeIndex shape, std::vector<Part>& parts);
  void put(ShapeIndex shape, Rank rank, std::uint32_t ranks, std::vector<Part>& parts);
  void settle_colocation(const Shape& shape, const std::vector<Part>& parts);

  // Keeping nodes for somebody.
  static double expected_wait(const Node& node, const Resources& per_rank, std::uint32_t ranks);
  void reserve(ShapeIndex shape);
  /// Who holds the reservation that is for such a shape.
  ShapeIndex& holder_like(ShapeIndex shape) { return holders_[shapes_[shape.value].shape.ranks > 1 ? 1 : 0]; }
  bool may_reserve(ShapeIndex shape);
  double ahead_of_turn(ShapeIndex shape) const;
  bool inherits(ShapeIndex shape, std::uint32_t ranks);
  static void let_pass(Queue& first, Queue& heir);
  bool before(ShapeIndex shape, ShapeIndex other) const;
  void capture(Rank rank, ShapeIndex holder);
  void hand_on(ShapeIndex shape, const Part& part);
  void settle_kept(ShapeIndex shape);
  void keep(Rank rank, ShapeIndex shape);
  void let_go(Rank rank);
  void let_go_all(ShapeIndex shape);

  std::vector<Node> nodes_;
  NodeIndex by_amount_[measures];  ///< living nodes by what they have free
  std::vector<Queue> shapes_;
  std::vector<std::pair<Shape, ShapeIndex>> known_;  ///< sorted
  std::vector<Turn> order_;                          ///< queues that are not empty, in order
  std::vector<ShapeIndex> wide_;                     ///< those of them with several ranks
  std::vector<Colocation> colocations_;
  std::vector<bool> queued_;  ///< by task
  std::vector<ShapeIndex> stranded_;
  std::array<ShapeIndex, 2> holders_;  ///< of reservations: of one rank, of several
  std::uint64_t goal_ = 0;           ///< ranks of the second's shape that run once its reservation has brought one more
  std::vector<ShapeIndex> keepers_;  ///< for whom nodes are kept
  std::uint64_t running_ = 0;        ///< parts and replicas, on all nodes
  std::optional<std::int32_t> ahead_;
  std::uint32_t living_ = 0;      ///< nodes
  std::uint32_t unoccupied_ = 0;  ///< seats, on all nodes
  SeatPolicy seat_policy_ = SeatPolicy::spread;
  std::vector<Rank> freed_;         ///< nodes that may hold more than before, in the order in which they came to
  std::uint64_t freed_before_ = 1;  ///< how many there were before those in freed_
  std::uint64_t capacity_ = 1;      ///< counts up when `possible` may change
};

}  // namespace trireme::pilot
