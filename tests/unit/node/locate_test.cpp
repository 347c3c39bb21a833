#include "node/spawner/locate.hpp"

#include <doctest/doctest.h>

namespace trireme {

TEST_CASE("in a program, companions are looked for from the program") {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  CHECK(own_file() == self);
  const auto found = locate_companion("trireme-nowhere", "TRIREME_NOWHERE");
  REQUIRE(!found.ok());
  CHECK(found.error().hint.find("looked at " + (self.parent_path() / "trireme-nowhere").string()) != std::string::npos);
}

TEST_CASE("a companion program that is not found is named first, before all the places that were looked at") {
  const auto found = locate_companion("trireme-nowhere", "TRIREME_NOWHERE");
  REQUIRE(!found.ok());
  CHECK(found.error().text().starts_with("cannot find the program trireme-nowhere (set TRIREME_NOWHERE"));
}

}  // namespace trireme
