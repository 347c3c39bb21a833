// Texts that no fixture can hold: huge, deep, or not text at all.
#include "workflow/document.hpp"

#include <doctest/doctest.h>

#include <string>

#include "core/defaults.hpp"

namespace {

using namespace trireme;
using namespace trireme::workflow;

struct Read {
  std::optional<Node> root;
  std::vector<Diagnostic> errors;
};

Read read(std::string_view text) {
  Diagnostics diagnostics("f");
  auto root = read_document(text, diagnostics);
  return {std::move(root), diagnostics.take_errors()};
}

/// The one error that leaves no document.
std::string error_of(std::string_view text) {
  const Read result = read(text);
  CHECK_FALSE(result.root);
  REQUIRE_EQ(result.errors.size(), 1);
  return result.errors.front().text();
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("nesting of any depth is an error and no crash") {
  constexpr std::size_t deep = 10'000;
  const std::string expected = "lists and maps are nested more than 64 deep";
  CHECK_NE(error_of("a: " + repeat("[", deep)).find("f:1:"), std::string::npos);
  CHECK_NE(error_of("a: " + repeat("[", deep) + repeat("]", deep)).find(expected), std::string::npos);
  CHECK_NE(error_of("a: " + repeat("{a: ", deep) + repeat("}", deep)).find(expected), std::string::npos);
  CHECK_NE(error_of(repeat("- ", deep) + "x").find(expected), std::string::npos);
  CHECK_NE(error_of(repeat("? ", deep) + "x").find("f:1:"), std::string::npos);
  std::string block;
  for (std::size_t i = 0; i < 1000; ++i) block += std::string(i, ' ') + "a:\n";
  CHECK_NE(error_of(block).find(expected), std::string::npos);
}

TEST_CASE("nesting up to the limit is read") {
  const std::size_t lists = defaults::workflow_depth - 1;
  CHECK(read("a: " + repeat("[", lists) + repeat("]", lists)).root);
}

TEST_CASE("aliases cannot go deeper than the limit either") {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  CHECK_NE(error_of(text).find("nested more than"), std::string::npos);
}

TEST_CASE("aliases of a long text are bounded by their bytes") {
  const std::string text = "a: &a " + std::string(1u << 20, 'x') + "\nb: [" + repeat("*a, ", 1000) + "*a]\n";
  CHECK_NE(error_of(text).find("aliases make the file too large"), std::string::npos);
}

TEST_CASE("the first byte that is not UTF-8 is named with its place") {
  CHECK_EQ(error_of("a: \xC3\xBC\nb: \xC3\xBC\xFF"), "f:2:5: the file is not UTF-8: byte 0xff");
  CHECK_EQ(error_of("\xFF\xFE"
                    "a"),
           "f:1:1: the file is not UTF-8: byte 0xff");
  CHECK_EQ(error_of("a: \xC0\x80"), "f:1:4: the file is not UTF-8: byte 0xc0");
  CHECK_EQ(error_of("a: \xED\xA0\x80"), "f:1:4: the file is not UTF-8: byte 0xed");
  CHECK_EQ(error_of("a: \xF4\x90\x80\x80"), "f:1:4: the file is not UTF-8: byte 0xf4");
  CHECK_EQ(error_of("a: \xE2\x82"), "f:1:4: the file is not UTF-8: byte 0xe2");
  CHECK_EQ(error_of(std::string_view("a\0b", 3)), "f:1:2: the file holds a control character: byte 0x00");
}

TEST_CASE("a file without a document is empty") {
  for (const char* text : {"", "\n\n", "# only this\n", "---\n", "---\n...\n", "\xEF\xBB\xBF"}) {
    CAPTURE(text);
    CHECK_EQ(error_of(text), "f:1:1: the file is empty");
  }
}

TEST_CASE("columns count characters, whatever the line ends and behind a byte order mark") {
  const Read result = read(
      "\xEF\xBB\xBF"
      "\xC3\xA4: 1\r\nkey: \"\xE2\x82\xAC\"\r\n  \r\nz: [\xC3\xA4, b]\r\n");
  REQUIRE(result.root);
  REQUIRE_EQ(result.root->entries.size(), 3);
  CHECK_EQ(result.root->entries[0].value.at, Position{1, 4});
  CHECK_EQ(result.root->entries[1].value.at, Position{2, 6});
  CHECK_EQ(result.root->entries[1].value.text, "\xE2\x82\xAC");
  CHECK_EQ(result.root->entries[2].value.items.at(1).at, Position{4, 8});
}

TEST_CASE("every duplicate key is reported, and the first value kept") {
  const Read result = read("a: {x: 1, x: 2}\nb: 1\na: 3\n? b\n: 2\n");
  REQUIRE(result.root);
  REQUIRE_EQ(result.errors.size(), 3);
  CHECK_EQ(result.errors[0].text(), "f:1:11: a.x: the key is given twice; it is on line 1 already");
  CHECK_EQ(result.errors[1].line, 3);
  CHECK_EQ(result.errors[2].line, 4);
  REQUIRE_EQ(result.root->entries.size(), 2);
  CHECK_EQ(result.root->entries[0].value.entries.at(0).value.text, "1");
}

TEST_CASE("errors beyond the limit are counted out, not collected") {
  std::string text;
  for (std::size_t i = 0; i < defaults::workflow_errors + 10; ++i) text += "a: 1\n";
  const Read result = read(text);
  REQUIRE_EQ(result.errors.size(), defaults::workflow_errors + 1);
  CHECK_NE(result.errors.back().message.find("the rest is not shown"), std::string::npos);
}

TEST_CASE("a suggestion is near, and there is none where nothing is") {
  CHECK_EQ(did_you_mean("retires", {"ranks", "retries", "after"}), "did you mean \"retries\"?");
  CHECK_EQ(did_you_mean("cmd", {"command"}), "");
  CHECK_EQ(did_you_mean("ab", {"ba", "cc"}), "did you mean \"ba\"?");
  CHECK_EQ(did_you_mean("x", {"y"}), "");
  CHECK_EQ(did_you_mean(std::string(100'000, 'x'), {"y"}), "");
}

TEST_CASE("quoted texts in messages are short and hold no control characters") {
  CHECK_EQ(in_quotes("a\nb\x1B[31m\x7F"), "\"a\\nb\\x1b[31m\\x7f\"");
  CHECK_LT(in_quotes(std::string(100'000, 'x')).size(), 100);
}
