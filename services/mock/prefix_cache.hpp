// What a model server remembers of prompts: blocks of tokens, the least recently used dropped first.
//
// A block is named by a hash over itself and all before it, so a prompt's blocks are found one after the other, and the
// first that is missing ends the shared prefix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

namespace trireme::mock {

class PrefixCache {
 public:
  /// How many blocks of the prompt's beginning are held; they count as used.
  std::size_t match(const std::vector<std::uint64_t>& blocks);
  /// Holds these too, at most `capacity` blocks in all.
  void insert(const std::vector<std::uint64_t>& blocks, std::size_t capacity);
  void shrink(std::size_t capacity);
  std::size_t size() const { return order_.size(); }

 private:
  std::list<std::uint64_t> order_;  ///< the least recently used is at the end
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> where_;
};

}  // namespace trireme::mock
