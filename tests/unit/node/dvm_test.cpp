// What the helper of the method `dvm` is told.
#include <doctest/doctest.h>

#include "launch/dvm/step.hpp"

using namespace trireme;

TEST_CASE("virtual nodes of one host are one group, and ranks keep their order") {
  const step::Placement placement{MpiKind::openmpi, {{"n1", 2}, {"n1", 1}, {"n2", 2}, {"n1", 1}}, ""};
  CHECK(dvm::spawn_arguments("file:/a", placement, {"shim", "rank"}) ==
        std::vector<std::string>{"spawn", "file:/a", "n1:3", "n2:2", "n1:1", "--", "shim", "rank"});
  const step::Placement client{MpiKind::pmix, {{"n1", 1}}, ""};
  CHECK(dvm::spawn_arguments("", client, {"shim"}) == std::vector<std::string>{"spawn", "", "n1:1", "--", "shim"});
}
