#include "runtime/results.hpp"

#include <doctest/doctest.h>

using namespace trireme;

namespace {

std::optional<TaskIndex> numbered(std::string_view id) {
  return id == "a" ? std::optional(TaskIndex{0}) : id == "b" ? std::optional(TaskIndex{1}) : std::nullopt;
}

}  // namespace

TEST_CASE("results of other tasks take their places in arguments, wherever they stand") {
  Results results;
  results.keep({0}, R"({"x": [1, 2]})");
  results.keep({1}, "null");
  const auto filled = results.fill(
      R"([{"result": "a"}, {"k": [{"result": "b"}]}, {"result": "a", "other": 1}, {"result": 7}])", numbered);
  REQUIRE(filled.ok());
  CHECK(*filled == R"([{"x":[1,2]},{"k":[null]},{"result":"a","other":1},{"result":7}])");
}

TEST_CASE("a result that is not there is an error that names its task") {
  const Results results;
  const auto filled = results.fill(R"([{"result": "b"}])", numbered);
  REQUIRE_FALSE(filled.ok());
  CHECK(filled.error().what.find("the result of b") != std::string::npos);
}

TEST_CASE("the last attempt's result counts, and results are bounded together") {
  Results results;
  results.keep({0}, "1");
  results.keep({0}, "2");
  CHECK(*results.find({0}) == "2");
  const std::string large(256u << 20, ' ');
  for (std::uint32_t i = 1; i <= 5; ++i) results.keep({i}, large);
  CHECK(results.find({3}) != nullptr);
  CHECK(results.find({5}) == nullptr);
}
