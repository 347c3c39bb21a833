// Fetching from memory what will soon be looked at.
//
// Where one thing after the other is looked up in tables larger than the caches, each look-up waits for the memory. Who knows
// the next few of them asks for all of them first, and waits once.
#pragma once

#include <cstddef>

namespace trireme {

/// Brings all of an object into the caches. Nothing waits for that, and the object may be used meanwhile like any other.
template <typename T>
void prefetch(const T& object) {
  constexpr std::size_t cache_line = 64;
  const char* const bytes = reinterpret_cast<const char*>(&object);
  for (std::size_t at = 0; at < sizeof(T); at += cache_line) __builtin_prefetch(bytes + at);
  __builtin_prefetch(bytes + sizeof(T) - 1);
}

}  // namespace trireme
