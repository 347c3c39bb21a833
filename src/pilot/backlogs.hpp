// What each node was sent ahead of its turn. Bookkeeping alone: Tasks decides (ahead.cpp).
//
// A backlog is only for tasks of one shape at a time, and only for nodes where tasks of that shape run: each takes the place of
// one of these when it has ended. How many a node holds, and how many of those are not called back, is known without looking at
// other nodes; those who hold most give back first.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "core/ids.hpp"
#include "pilot/node_index.hpp"
#include "pilot/scheduler.hpp"

namespace trireme::pilot {

class Backlogs {
 public:
  /// A node may hold `first` at the beginning, and up to `most` if that does not last.
  Backlogs(std::uint32_t first, std::uint32_t most) : first_(first), most_(most) {}
  /// Nodes may hold something.
  bool wanted() const { return first_ > 0; }

  struct Place {
    Rank rank = 0;
    TaskIndex task;
  };

  // Tasks that have a place of their own, which they will hand on.
  void began(Rank rank, ShapeIndex shape);
  void ended(Rank rank, ShapeIndex shape);

  // Tasks that were sent ahead.
  void push(ShapeIndex shape, Place place, std::int32_t priority);
  /// It has taken a place, or came back.
  void remove(Place place);
  /// The node is silent: nothing is called back from there.
  void close(Rank rank);
  /// Forgets a node, or all, and returns what they held.
  std::vector<TaskIndex> forget(Rank rank);
  std::vector<TaskIndex> forget_all();

  std::size_t size() const { return size_; }
  /// Those that are called back and have not been heard of since, on nodes that are not silent.
  std::uint32_t called_back() const { return called_back_; }
  /// Those that are not called back, on nodes that are not silent.
  std::uint32_t open() const { return open_; }
  /// Of all that are there.
  ShapeIndex shape() const { return shape_; }
  /// No priority among those that are not called back is lower.
  std::int32_t lowest() const { return lowest_; }

  /// Nodes at which something has changed since the last call.
  std::vector<Rank> take_changed();
  void changed(Rank rank);
  /// How many tasks a node is sent now, if it is to hold `most` at best, and what it may hold: refilled when half of that is
  /// gone, and twice as much from then on when all of it is. None where nobody will hand on a place.
  std::uint32_t take_credit(Rank rank, ShapeIndex shape, std::uint32_t most);

  // Marks as called back, and returns:
  std::vector<Place> call_back(std::uint32_t count);  ///< so many, the last of those nodes that hold most
  std::vector<Place> call_back_all();
  std::vector<Place> call_back_below(std::int32_t priority);
  bool call_back_one(Place place);  ///< false if it is called back already, or the node silent

 private:
  struct Entry {
    TaskIndex task;
    std::int32_t priority = 0;
    bool called_back = false;
  };
  struct Node {
    boost::container::small_vector<std::pair<ShapeIndex, std::uint32_t>, 2> running;  ///< that will hand on their place
    std::deque<Entry> entries;  ///< the first is mostly the one that is next removed
    std::uint32_t reach = 0;    ///< that it may hold; 0: it has held nothing since it was last called back
    std::uint32_t open = 0;
    bool changed = false;
    bool closed = false;
  };
  Node& at(Rank rank);
  void mark(Rank rank, Entry& entry, std::vector<Place>& out);
  void set_open(Rank rank, std::uint32_t open);

  const std::uint32_t first_;
  const std::uint32_t most_;
  std::vector<Node> nodes_;
  NodeIndex by_open_;  ///< nodes that hold something which is not called back, and are not silent
  std::vector<Rank> changed_;
  std::size_t size_ = 0;
  std::uint32_t called_back_ = 0;
  std::uint32_t open_ = 0;
  ShapeIndex shape_;
  std::int32_t lowest_ = 0;
};

}  // namespace trireme::pilot
