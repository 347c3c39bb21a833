#include "core/resources.hpp"

#include <doctest/doctest.h>

using trireme::Resources;
using trireme::to_string;

TEST_CASE("what is taken out can be put back") {
  const Resources node{.cores = 64, .gpus = 4000, .memory = 256};
  const Resources task{.cores = 8, .gpus = 250, .memory = 16};
  Resources free = node;
  CHECK(free.holds(task));
  free -= task;
  CHECK_EQ(free, Resources{56, 3750, 240});
  free += task;
  CHECK_EQ(free, node);
}

TEST_CASE("an amount is held only if each of its parts is") {
  const Resources node{.cores = 4, .gpus = 1000, .memory = 100};
  CHECK(node.holds({4, 1000, 100}));
  CHECK(node.holds({}));
  CHECK_FALSE(node.holds({5, 0, 0}));
  CHECK_FALSE(node.holds({0, 1001, 0}));
  CHECK_FALSE(node.holds({0, 0, 101}));
}

TEST_CASE("ranks multiply what each of them asks for") {
  CHECK_EQ(Resources{2, 250, 1u << 30}.times(4), Resources{8, 1000, 4ull << 30});
  CHECK_EQ(Resources{2, 250, 1}.times(0), Resources{});
}

TEST_CASE("resources read as a person would say them") {
  CHECK_EQ(to_string(Resources{}), "nothing");
  CHECK_EQ(to_string(Resources{1, 0, 0}), "1 core");
  CHECK_EQ(to_string(Resources{2, 1000, 8ull << 30}), "2 cores, 1 GPU, 8G memory");
  CHECK_EQ(to_string(Resources{0, 250, 0}), "0.25 GPUs");
  CHECK_EQ(to_string(Resources{0, 1, 0}), "0.001 GPUs");
  CHECK_EQ(to_string(Resources{0, 2500, 0}), "2.5 GPUs");
  CHECK_EQ(to_string(Resources{0, 0, 1000}), "1000 bytes memory");
}
