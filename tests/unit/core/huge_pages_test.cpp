#include "core/huge_pages.hpp"

#include <doctest/doctest.h>

#include <cstdint>

namespace trireme {

TEST_CASE("a table that outgrows small pages keeps its content and begins on a huge page") {
  HugePageVector<std::uint64_t> table;
  const std::size_t many = 4 * HugePageAllocator<std::uint64_t>::from_bytes / sizeof(std::uint64_t);
  for (std::uint64_t i = 0; i < many; ++i) table.push_back(i);
  CHECK(reinterpret_cast<std::uintptr_t>(table.data()) % HugePageAllocator<std::uint64_t>::page == 0);
  bool same = true;
  for (std::uint64_t i = 0; i < many; ++i) same = same && table[i] == i;
  CHECK(same);
  table.resize(3);
  table.shrink_to_fit();
  CHECK(table == HugePageVector<std::uint64_t>{0, 1, 2});
}

}  // namespace trireme
