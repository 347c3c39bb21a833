// Which replicas have seen a prompt's beginning: a prefix tree of bounded size, the least recently used leaf going first.
//
// Mechanism. A node is the number of a beginning (prefix_hashes.hpp), which stands for the whole path to it, so the tree is
// one hash table: open addressing with linear probing over nodes in one array, which are also chained by use. A path is
// touched from its end to its start, so a node is never older than those below it, and the oldest node is always a leaf.
// Each node names the few replicas that had it last, the latest first. A replica in its next life is another one: its cache
// is empty.
//
// All memory is taken at once, when the first request comes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/ids.hpp"

namespace trireme::proxy {

class PrefixIndex {
 public:
  static constexpr std::size_t holders = 4;  ///< replicas that a node names

  /// Holds at most `nodes` beginnings.
  explicit PrefixIndex(std::size_t nodes) : limit_(nodes) {}

  struct Node {
    std::uint64_t hash = 0;
    std::array<std::uint64_t, holders> seen{};  ///< replica_key(); 0: none
    std::uint32_t newer = none;
    std::uint32_t older = none;
  };
  static constexpr std::uint64_t replica_key(const ReplicaId& id) {
    return (std::uint64_t{id.replica} + 1) << 32 | id.attempt;
  }

  /// The nodes along the path, from its start, as far as they are known. Valid until insert().
  void match(std::span<const std::uint64_t> path, std::vector<const Node*>& found) const;
  /// The replica is given a prompt with these beginnings.
  void insert(std::span<const std::uint64_t> path, const ReplicaId& replica);
  std::size_t size() const { return nodes_.size(); }
  /// Bytes that it has taken.
  std::size_t memory() const { return nodes_.capacity() * sizeof(Node) + slots_.capacity() * sizeof(std::uint32_t); }

 private:
  static constexpr std::uint32_t none = 0xffff'ffff;
  std::uint32_t find(std::uint64_t hash) const;
  std::uint32_t take_node(std::uint64_t hash);
  void erase_slot(std::uint64_t hash);
  void unlink(std::uint32_t node);
  void link_newest(std::uint32_t node);
  std::size_t home(std::uint64_t hash) const { return static_cast<std::size_t>(hash) & (slots_.size() - 1); }

  std::size_t limit_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> slots_;  ///< the table; a power of two, at most half full
  std::uint32_t newest_ = none;
  std::uint32_t oldest_ = none;
};

}  // namespace trireme::proxy
