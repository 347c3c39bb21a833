#include "services/mock/prefix_cache.hpp"

#include <ranges>

namespace trireme::mock {

std::size_t PrefixCache::match(const std::vector<std::uint64_t>& blocks) {
  std::size_t held = 0;
  while (held < blocks.size() && where_.contains(blocks[held])) ++held;
  // The beginning is used last: dropping it first would make the rest useless.
  for (std::size_t i = held; i-- > 0;) order_.splice(order_.begin(), order_, where_.at(blocks[i]));
  return held;
}

void PrefixCache::insert(const std::vector<std::uint64_t>& blocks, std::size_t capacity) {
  for (const std::uint64_t block : blocks | std::views::reverse) {
    if (const auto found = where_.find(block); found != where_.end()) {
      order_.splice(order_.begin(), order_, found->second);
    } else {
      order_.push_front(block);
      where_.emplace(block, order_.begin());
    }
  }
  shrink(capacity);
}

void PrefixCache::shrink(std::size_t capacity) {
  while (order_.size() > capacity) {
    where_.erase(order_.back());
    order_.pop_back();
  }
}

}  // namespace trireme::mock
