// The fixtures are the list of rules: each valid/*.yaml loads to what NAME.expected says, each invalid/*.yaml gives exactly
// the errors that its comments say. Comments, anywhere at the start of a line:
//   # set: NAME=VALUE        an option --set
//   # warning: 4:1: key: …   a warning, without the name of the file
//   # error: 4:1: key: …     an error
// A file that can hold no comment has them in NAME.expected. To add a rule is to add a file.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "dump.hpp"
#include "workflow/load.hpp"

namespace {

using namespace trireme;

struct Fixture {
  std::filesystem::path path;
  std::string text;
  std::vector<std::string> settings;
  std::vector<std::string> warnings;
  std::vector<std::string> errors;
};

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void read_comments(const std::string& text, Fixture& fixture) {
  std::istringstream lines(text);
  const auto take = [](const std::string& line, std::string_view mark, std::vector<std::string>& into) {
    if (line.starts_with(mark)) into.push_back(line.substr(mark.size()));
  };
  for (std::string line; std::getline(lines, line);) {
    take(line, "# set: ", fixture.settings);
    take(line, "# warning: ", fixture.warnings);
    take(line, "# error: ", fixture.errors);
  }
}

std::vector<Fixture> fixtures(const std::string& folder) {
  std::vector<Fixture> out;
  const auto root = std::filesystem::path(TRIREME_SOURCE_DIR) / "tests/unit/workflow" / folder;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (entry.path().extension() != ".yaml") continue;
    Fixture fixture;
    fixture.path = entry.path();
    fixture.text = read(entry.path());
    read_comments(fixture.text, fixture);
    if (folder == "invalid") {
      auto sidecar = entry.path();
      read_comments(read(sidecar.replace_extension(".expected")), fixture);
    }
    out.push_back(std::move(fixture));
  }
  std::sort(out.begin(), out.end(), [](const Fixture& a, const Fixture& b) { return a.path < b.path; });
  return out;
}

LoadResult load(const Fixture& fixture) {
  return load_workflow_text(fixture.text, fixture.path.filename().string(), "/flow", fixture.settings);
}

/// One per line, without the file's name.
std::string lines(const std::vector<Diagnostic>& diagnostics, const Fixture& fixture) {
  std::string out;
  const std::string prefix = fixture.path.filename().string() + ":";
  for (const Diagnostic& diagnostic : diagnostics) {
    const std::string text = diagnostic.text();
    out += (text.starts_with(prefix) ? text.substr(prefix.size()) : text) + "\n";
  }
  return out;
}

std::string lines(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += text + "\n";
  return out;
}

}  // namespace

TEST_CASE("a valid workflow file loads to what is expected of it") {
  const auto all = fixtures("valid");
  REQUIRE(all.size() >= 15);
  for (const Fixture& fixture : all) {
    CAPTURE(fixture.path.filename().string());
    const LoadResult result = load(fixture);
    CHECK_EQ(lines(result.errors, fixture), "");
    CHECK_EQ(lines(result.warnings, fixture), lines(fixture.warnings));
    auto expected = fixture.path;
    CHECK_EQ(dump(result.workflow), read(expected.replace_extension(".expected")));
  }
}

TEST_CASE("an invalid workflow file gives exactly the errors that it is made to give") {
  const auto all = fixtures("invalid");
  REQUIRE(all.size() >= 45);
  for (const Fixture& fixture : all) {
    CAPTURE(fixture.path.filename().string());
    REQUIRE_FALSE(fixture.errors.empty());
    const LoadResult result = load(fixture);
    CHECK_EQ(lines(result.errors, fixture), lines(fixture.errors));
  }
}

TEST_CASE("every example in the guide is a workflow without errors or warnings") {
  const auto guide = std::filesystem::path(TRIREME_SOURCE_DIR) / "docs/guide/workflow-reference.md";
  const std::string text = read(guide);
  constexpr std::string_view fence = "```yaml\n";
  std::size_t examples = 0;
  for (auto at = text.find(fence); at != std::string::npos; at = text.find(fence, at)) {
    at += fence.size();
    Fixture example;
    example.path = "example.yaml";
    example.text = text.substr(at, text.find("```", at) - at);
    CAPTURE(example.text);
    const LoadResult result = load(example);
    CHECK_EQ(lines(result.errors, example), "");
    CHECK_EQ(lines(result.warnings, example), "");
    ++examples;
  }
  CHECK_GE(examples, 10);
}
