// Loading never crashes, whatever the text: the fixtures, changed at random. tests/fuzz/workflow.cpp does the same for longer.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <random>
#include <sstream>

#include "workflow/load.hpp"
#include "workflow/wfformat.hpp"

namespace {

std::vector<std::string> seeds(std::initializer_list<const char*> folders, const char* extension) {
  std::vector<std::filesystem::path> paths;
  const auto root = std::filesystem::path(TRIREME_SOURCE_DIR) / "tests/unit/workflow";
  for (const char* folder : folders) {
    for (const auto& entry : std::filesystem::directory_iterator(root / folder)) {
      if (entry.path().extension() == extension) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> out;
  for (const auto& path : paths) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    out.push_back(text.str());
  }
  return out;
}

/// One small change: a byte or a piece of syntax put in, taken out or copied from elsewhere.
void mutate(std::string& text, std::mt19937& random) {
  const auto below = [&](std::size_t n) {
    return n == 0 ? 0 : std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  constexpr std::array pieces{
      "{",    "}",      "[",   "]",    ": ",   "- ",    "\n",     "\"", "'", "&a ", "*a",
      "<<: ", "!!str ", "|\n", ">",    "#",    "? ",    "{port}", "{{", "0", "-1",  "99999999999999999999",
      "1-3",  "1.5",    "\t",  "\xC3", "\xFF", "---\n", "...",    "%",  "@", "`"};
  const std::size_t at = below(text.size() + 1);
  switch (below(4)) {
    case 0:
      text.insert(at, pieces[below(pieces.size())]);
      break;
    case 1:
      text.erase(at, below(12));
      break;
    case 2:
      if (at < text.size()) text[at] = static_cast<char>(below(256));
      break;
    default:
      text.insert(at, text.substr(below(text.size()), below(40)));
  }
}

}  // namespace

TEST_CASE("a damaged workflow file never crashes the loader, and is valid or has errors with a place") {
  constexpr std::size_t most_tasks = 1000;  // one digit more makes ten times the instances
  const auto texts = seeds({"valid", "invalid"}, ".yaml");
  REQUIRE(texts.size() >= 60);
  std::mt19937 random(1);
  std::size_t valid = 0;
  std::size_t invalid = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string text = texts[static_cast<std::size_t>(round) % texts.size()];
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t i = 0; i < changes; ++i) mutate(text, random);
    const trireme::LoadResult result = trireme::load_workflow_text(text, "f", "/flow", {}, most_tasks);
    for (const trireme::Diagnostic& error : result.errors) {
      CHECK_FALSE(error.message.empty());
      if (error.file == "f" && error.line == 0) FAIL("an error without a place: " << error.text());
    }
    ++(result.ok() ? valid : invalid);
  }
  CHECK_GT(valid, 0);
  CHECK_GT(invalid, 0);
}

TEST_CASE("a damaged instance in WfFormat never crashes its reader, and is valid or has errors with a place") {
  const auto texts = seeds({"instances"}, ".json");
  REQUIRE(texts.size() >= 5);
  std::mt19937 random(1);
  std::size_t valid = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = texts[static_cast<std::size_t>(round) % texts.size()];
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t i = 0; i < changes; ++i) mutate(text, random);
    if (random() % 8 == 0) text.resize(random() % (text.size() + 1));
    const trireme::WfInstance instance = trireme::read_wfformat(text, "f");
    for (const trireme::Diagnostic& error : instance.errors) {
      CHECK_FALSE(error.message.empty());
      if (error.line == 0 || error.column == 0) FAIL("an error without a place: " << error.text());
    }
    if (trireme::replay_of(instance, 1, "/dir").ok()) ++valid;
  }
  CHECK_GT(valid, 0);
  CHECK_LT(valid, 3000);
}
