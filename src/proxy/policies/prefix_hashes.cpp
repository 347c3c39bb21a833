#include "proxy/policies/prefix_hashes.hpp"

#include <algorithm>

#include "proxy/policies/hash64.hpp"

namespace trireme::proxy {

namespace {

constexpr std::size_t growth = 8;  // each stretch is at least this fraction of what is before it

std::size_t next_place(std::size_t place) {
  const std::size_t stretch = std::max(prefix_step, place / growth);
  return place + stretch / prefix_step * prefix_step;
}

}  // namespace

std::vector<std::uint64_t> prefix_hashes(std::span<const std::string_view> texts) {
  std::size_t total = 0;
  for (const std::string_view text : texts) total += text.size();
  std::vector<std::uint64_t> hashes;
  hashes.reserve(std::min(prefix_depth, total / prefix_step));
  std::uint64_t hash = 0;
  std::size_t at = 0;  // in all of the texts together
  std::size_t place = next_place(0);
  for (std::string_view text : texts) {
    while (at + text.size() >= place && hashes.size() < prefix_depth) {
      const std::size_t size = place - at;
      hash = hash64(text.substr(0, size), hash);
      hashes.push_back(hash);
      text.remove_prefix(size);
      at = place;
      place = next_place(place);
    }
    if (hashes.size() == prefix_depth) break;
    hash = hash64(text, hash);
    at += text.size();
  }
  return hashes;
}

}  // namespace trireme::proxy
