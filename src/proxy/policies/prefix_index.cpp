#include "proxy/policies/prefix_index.hpp"

#include <algorithm>
#include <bit>

namespace trireme::proxy {

void PrefixIndex::match(std::span<const std::uint64_t> path, std::vector<const Node*>& found) const {
  found.clear();
  if (nodes_.empty()) return;
  for (const std::uint64_t hash : path) {
    const std::uint32_t node = find(hash);
    if (node == none) return;
    found.push_back(&nodes_[node]);
  }
}

void PrefixIndex::insert(std::span<const std::uint64_t> path, const ReplicaId& replica) {
  if (limit_ == 0) return;
  path = path.first(std::min(path.size(), limit_));
  if (slots_.empty()) {
    nodes_.reserve(limit_);
    slots_.assign(std::bit_ceil(limit_ * 2), none);
  }
  const std::uint64_t key = replica_key(replica);
  for (std::size_t i = path.size(); i-- > 0;) {
    std::uint32_t number = find(path[i]);
    if (number == none) {
      number = take_node(path[i]);
    } else {
      unlink(number);
    }
    link_newest(number);
    auto& seen = nodes_[number].seen;
    const auto old = std::find(seen.begin(), seen.end(), key);
    std::copy_backward(seen.begin(), old == seen.end() ? old - 1 : old, old == seen.end() ? old : old + 1);
    seen.front() = key;
  }
}

std::uint32_t PrefixIndex::find(std::uint64_t hash) const {
  for (std::size_t slot = home(hash);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot] == none || nodes_[slots_[slot]].hash == hash) return slots_[slot];
  }
}

/// A new node in the table, not yet chained: of fresh memory, or the oldest one.
std::uint32_t PrefixIndex::take_node(std::uint64_t hash) {
  std::uint32_t number = static_cast<std::uint32_t>(nodes_.size());
  if (nodes_.size() < limit_) {
    nodes_.emplace_back();
  } else {
    number = oldest_;
    unlink(number);
    erase_slot(nodes_[number].hash);
  }
  nodes_[number] = {};
  nodes_[number].hash = hash;
  std::size_t slot = home(hash);
  while (slots_[slot] != none) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = number;
  return number;
}

/// What lies behind in the same run moves up, so that it is still found.
void PrefixIndex::erase_slot(std::uint64_t hash) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = home(hash);
  while (nodes_[slots_[hole]].hash != hash) hole = (hole + 1) & mask;
  for (std::size_t next = (hole + 1) & mask; slots_[next] != none; next = (next + 1) & mask) {
    const std::size_t distance = (next - home(nodes_[slots_[next]].hash)) & mask;
    if (distance >= ((next - hole) & mask)) {
      slots_[hole] = slots_[next];
      hole = next;
    }
  }
  slots_[hole] = none;
}

void PrefixIndex::unlink(std::uint32_t number) {
  Node& node = nodes_[number];
  (node.newer == none ? newest_ : nodes_[node.newer].older) = node.older;
  (node.older == none ? oldest_ : nodes_[node.older].newer) = node.newer;
}

void PrefixIndex::link_newest(std::uint32_t number) {
  Node& node = nodes_[number];
  node.newer = none;
  node.older = newest_;
  (newest_ == none ? oldest_ : nodes_[newest_].newer) = number;
  newest_ = number;
}

}  // namespace trireme::proxy
