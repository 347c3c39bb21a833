#include "runtime/target.hpp"

#include <doctest/doctest.h>

#include "core/percent_encode.hpp"

using namespace trireme;

TEST_CASE("a target's path and query are decoded") {
  const Target target = parse_target("/runtime/tasks/a%5Bx=1%5D?state=running&name=a%20b&flag");
  CHECK(target.path == std::vector<std::string>{"runtime", "tasks", "a[x=1]"});
  CHECK(target.value("state") == "running");
  CHECK(target.value("name") == "a b");
  CHECK(target.value("flag") == "");
  CHECK_FALSE(target.value("other"));
  CHECK(parse_target("/a%zz%4").path == std::vector<std::string>{"a%zz%4"});
}

TEST_CASE("what is encoded comes back as it was") {
  const std::string text = "a[b=ü/?&%]";
  CHECK(parse_target("/" + percent_encode(text)).path.front() == text);
}
