#include "workflow/shell_words.hpp"

#include <doctest/doctest.h>

namespace {

using trireme::workflow::split_words;
using Words = std::vector<std::string>;

Words words(std::string_view text) {
  const auto result = split_words(text);
  REQUIRE(result.ok());
  return *result;
}

std::string error_of(std::string_view text) {
  const auto result = split_words(text);
  REQUIRE_FALSE(result.ok());
  return result.error().what;
}

}  // namespace

TEST_CASE("blanks separate words, and quotes and backslashes keep them together") {
  CHECK_EQ(words(""), Words{});
  CHECK_EQ(words("  \t\n"), Words{});
  CHECK_EQ(words("a  b\tc "), Words{"a", "b", "c"});
  CHECK_EQ(words("'a b' \"c d\" e\\ f"), Words{"a b", "c d", "e f"});
  CHECK_EQ(words("a'b'\"c\"d"), Words{"abcd"});
  CHECK_EQ(words("'' \"\""), Words{"", ""});
  CHECK_EQ(words(R"('a\b' "a\b" "\"\\\$\`" \' \")"), Words{"a\\b", "a\\b", "\"\\$`", "'", "\""});
  CHECK_EQ(words("a \\\n b"), Words{"a", "b"});
  CHECK_EQ(words("{seed} --x={{y} [a]"), Words{"{seed}", "--x={{y}", "[a]"});
  CHECK_EQ(words("a#b a~b x='~' '#' \\#"), Words{"a#b", "a~b", "x=~", "#", "#"});
}

TEST_CASE("what only a shell can do is named") {
  for (const char* syntax : {"|", ">", "<", "&", ";", "$", "`", "*", "?", "(", ")"}) {
    CAPTURE(syntax);
    const std::string expected = "\"" + std::string(syntax) + "\" needs a shell";
    CHECK_EQ(error_of("a " + std::string(syntax) + " b"), expected);
    CHECK_EQ(words("a '" + std::string(syntax) + "'"), Words{"a", syntax});
    CHECK_EQ(words("a \\" + std::string(syntax)), Words{"a", syntax});
  }
  CHECK_EQ(error_of("a && b"), "\"&&\" needs a shell");
  CHECK_EQ(error_of("a || b"), "\"||\" needs a shell");
  CHECK_EQ(error_of("a >> b"), "\">>\" needs a shell");
  CHECK_EQ(error_of("a \"$b\""), "\"$\" needs a shell");
  CHECK_EQ(error_of("a #b"), "\"#\" needs a shell");
  CHECK_EQ(error_of("~/a"), "\"~\" needs a shell");
  CHECK_EQ(error_of("a\nb"), "\"\\n\" needs a shell");
}

TEST_CASE("a variable set in front of a command is no program") {
  CHECK_EQ(error_of("A=1 b"), "\"A=1\" is a shell's way to set a variable");
  CHECK_EQ(words("'A=1' b"), Words{"A=1", "b"});
  CHECK_EQ(words("env A=1 b"), Words{"env", "A=1", "b"});
  CHECK_EQ(words("a-b=1 c"), Words{"a-b=1", "c"});
}

TEST_CASE("what is not closed is an error") {
  CHECK_EQ(error_of("a 'b"), "the quote ' is not closed");
  CHECK_EQ(error_of("a \"b"), "the quote \" is not closed");
  CHECK_EQ(error_of("a \"b\\\""), "the quote \" is not closed");
  CHECK_EQ(error_of("a \\"), "a backslash ends the text");
}
