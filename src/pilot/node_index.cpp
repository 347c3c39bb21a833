#include "pilot/node_index.hpp"

#include <algorithm>

namespace trireme::pilot {
namespace {

constexpr std::size_t word_bits = 64;

std::uint64_t bit(std::size_t i) {
  return std::uint64_t{1} << (i % word_bits);
}

/// The first bit set from `from` on, in a row of words; the number of bits if there is none.
std::size_t next_bit(const std::vector<std::uint64_t>& words, std::size_t from) {
  std::size_t word = from / word_bits;
  if (word >= words.size()) return words.size() * word_bits;
  std::uint64_t left = words[word] & (~std::uint64_t{0} << (from % word_bits));
  while (left == 0) {
    if (++word == words.size()) return words.size() * word_bits;
    left = words[word];
  }
  return word * word_bits + static_cast<std::size_t>(std::countr_zero(left));
}

}  // namespace

void RankSet::insert(Rank rank) {
  const auto at = static_cast<std::size_t>(rank);
  const std::size_t word = at / word_bits;
  if (bits_.size() <= word) {
    bits_.resize(std::max(word + 1, bits_.size() * 2));
    words_.resize(bits_.size() / word_bits + 1);
  }
  bits_[word] |= bit(at);
  words_[word / word_bits] |= bit(word);
  ++size_;
}

void RankSet::erase(Rank rank) {
  const auto at = static_cast<std::size_t>(rank);
  const std::size_t word = at / word_bits;
  bits_[word] &= ~bit(at);
  if (bits_[word] == 0) words_[word / word_bits] &= ~bit(word);
  --size_;
}

Rank RankSet::next(Rank from) const {
  const auto at = static_cast<std::size_t>(from);
  std::size_t word = at / word_bits;
  if (word >= bits_.size()) return -1;
  std::uint64_t left = bits_[word] & (~std::uint64_t{0} << (at % word_bits));
  if (left == 0) {
    word = next_bit(words_, word + 1);
    if (word >= bits_.size()) return -1;
    left = bits_[word];
  }
  return static_cast<Rank>(word * word_bits + static_cast<std::size_t>(std::countr_zero(left)));
}

void NodeIndex::insert(std::uint32_t amount, Rank rank) {
  if (buckets_.size() <= amount) buckets_.resize(amount + std::size_t{1});
  buckets_[amount].insert(rank);
}

void NodeIndex::move(std::uint32_t from, std::uint32_t to, Rank rank) {
  if (from == to) return;
  erase(from, rank);
  insert(to, rank);
}

}  // namespace trireme::pilot
