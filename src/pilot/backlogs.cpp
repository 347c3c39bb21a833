#include "pilot/backlogs.hpp"

#include <algorithm>
#include <cassert>

namespace trireme::pilot {

Backlogs::Node& Backlogs::at(Rank rank) {
  const auto slot = static_cast<std::size_t>(rank);
  if (nodes_.size() <= slot) nodes_.resize(slot + 1);
  return nodes_[slot];
}

// --- those who have a place ----------------------------------------------------------------------

void Backlogs::began(Rank rank, ShapeIndex shape) {
  Node& node = at(rank);
  const auto found =
      std::find_if(node.running.begin(), node.running.end(), [&](auto& one) { return one.first == shape; });
  if (found == node.running.end()) {
    node.running.emplace_back(shape, 1);
  } else {
    ++found->second;
  }
  changed(rank);
}

void Backlogs::ended(Rank rank, ShapeIndex shape) {
  Node& node = at(rank);
  const auto found =
      std::find_if(node.running.begin(), node.running.end(), [&](auto& one) { return one.first == shape; });
  if (found != node.running.end() && --found->second == 0) node.running.erase(found);
}

void Backlogs::changed(Rank rank) {
  if (!std::exchange(at(rank).changed, true)) changed_.push_back(rank);
}

std::vector<Rank> Backlogs::take_changed() {
  for (Rank rank : changed_) at(rank).changed = false;
  return std::exchange(changed_, {});
}

std::uint32_t Backlogs::take_credit(Rank rank, ShapeIndex shape, std::uint32_t most) {
  Node& node = at(rank);
  const bool runs =
      std::any_of(node.running.begin(), node.running.end(), [&](auto& one) { return one.first == shape; });
  if (!runs || node.closed) return 0;
  const auto held = static_cast<std::uint32_t>(node.entries.size());
  std::uint32_t reach = node.reach == 0 ? first_ : node.reach;
  if (held == 0 && node.reach > 0 && most > reach) reach = std::min(2 * reach, most_);
  most = std::min(most, reach);
  if (most == 0 || held > most / 2) return 0;
  node.reach = reach;
  return most - held;
}

// --- those who were sent ahead -------------------------------------------------------------------

void Backlogs::set_open(Rank rank, std::uint32_t open) {
  Node& node = at(rank);
  if (node.open > 0) by_open_.erase(node.open, rank);
  if (open > 0) by_open_.insert(open, rank);
  open_ = open_ - node.open + open;
  node.open = open;
}

void Backlogs::push(ShapeIndex shape, Place place, std::int32_t priority) {
  assert(size_ == 0 || shape == shape_);
  lowest_ = open_ == 0 ? priority : std::min(lowest_, priority);
  shape_ = shape;
  ++size_;
  Node& node = at(place.rank);
  node.entries.push_back({place.task, priority, false});
  set_open(place.rank, node.open + 1);
}

void Backlogs::remove(Place place) {
  Node& node = at(place.rank);
  const auto found = std::find_if(node.entries.begin(), node.entries.end(),
                                  [&](const Entry& entry) { return entry.task == place.task; });
  if (found == node.entries.end()) return;
  if (found->called_back) {
    if (!node.closed) --called_back_;
  } else if (!node.closed) {
    set_open(place.rank, node.open - 1);
  }
  node.entries.erase(found);
  --size_;
  changed(place.rank);
}

void Backlogs::close(Rank rank) {
  Node& node = at(rank);
  if (std::exchange(node.closed, true)) return;
  called_back_ -= static_cast<std::uint32_t>(node.entries.size()) - node.open;
  set_open(rank, 0);
}

std::vector<TaskIndex> Backlogs::forget(Rank rank) {
  close(rank);
  Node& node = at(rank);
  std::vector<TaskIndex> tasks;
  for (const Entry& entry : node.entries) tasks.push_back(entry.task);
  size_ -= node.entries.size();
  node.entries.clear();
  node.reach = 0;
  node.running.clear();
  return tasks;
}

std::vector<TaskIndex> Backlogs::forget_all() {
  std::vector<TaskIndex> tasks;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    const auto some = forget(rank);
    tasks.insert(tasks.end(), some.begin(), some.end());
  }
  return tasks;
}

// --- calling back --------------------------------------------------------------------------------

void Backlogs::mark(Rank rank, Entry& entry, std::vector<Place>& out) {
  entry.called_back = true;
  at(rank).reach = 0;
  ++called_back_;
  set_open(rank, at(rank).open - 1);
  out.push_back({rank, entry.task});
}

std::vector<Backlogs::Place> Backlogs::call_back(std::uint32_t count) {
  std::vector<Place> out;
  while (count-- > 0) {
    const auto rank = by_open_.roomiest(1, [](Rank) { return true; });
    if (!rank) break;
    auto& entries = at(*rank).entries;
    mark(*rank, *std::find_if(entries.rbegin(), entries.rend(), [](const Entry& entry) { return !entry.called_back; }),
         out);
  }
  return out;
}

std::vector<Backlogs::Place> Backlogs::call_back_all() {
  return call_back(open_);
}

std::vector<Backlogs::Place> Backlogs::call_back_below(std::int32_t priority) {
  std::vector<Place> out;
  for (Rank rank = 0; rank < static_cast<Rank>(nodes_.size()); ++rank) {
    Node& node = at(rank);
    if (node.open == 0) continue;
    for (Entry& entry : node.entries) {
      if (!entry.called_back && entry.priority < priority) mark(rank, entry, out);
    }
  }
  lowest_ = priority;
  return out;
}

bool Backlogs::call_back_one(Place place) {
  Node& node = at(place.rank);
  if (node.closed) return false;
  const auto found = std::find_if(node.entries.begin(), node.entries.end(),
                                  [&](const Entry& entry) { return entry.task == place.task; });
  if (found == node.entries.end() || found->called_back) return false;
  std::vector<Place> out;
  mark(place.rank, *found, out);
  return true;
}

}  // namespace trireme::pilot
