#include "runtime/time_slice.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "core/defaults.hpp"

using namespace trireme;

TEST_CASE("a thread has short slices for as long as it asks for them, and what it starts has not") {
  const Duration before = time_slice();
  if (before == Duration::zero()) {
    MESSAGE("skipped: this kernel has no slices to ask for");
    return;
  }
  {
    const ShortSlices sooner;
    CHECK(time_slice() == Duration(defaults::loop_slice));
    Duration of_other{0};
    std::thread([&] { of_other = time_slice(); }).join();
    CHECK(of_other == before);
  }
  CHECK(time_slice() == before);
}
