#include "core/template.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

namespace {

using namespace trireme;

bool known(std::string_view name) {
  return name == "a" || name == "b" || is_runtime_placeholder(name);
}

Template strict(std::string_view text) {
  auto result = Template::parse(text, Template::Mode::strict, known);
  CAPTURE(text);
  REQUIRE(result.ok());
  return *result;
}

Template script(std::string_view text) {
  auto result = Template::parse(text, Template::Mode::script, known);
  REQUIRE(result.ok());
  return *result;
}

Template::Lookup values(std::map<std::string, std::string, std::less<>> map) {
  return [map = std::move(map)](std::string_view name) -> std::optional<std::string> {
    const auto found = map.find(name);
    if (found == map.end()) return std::nullopt;
    return found->second;
  };
}

std::string expanded(const Template& text) {
  const auto result = text.expand(values({{"a", "1"}, {"b", "{a}"}, {"port", "80"}}));
  REQUIRE(result.ok());
  return *result;
}

}  // namespace

TEST_CASE("an identifier in braces is replaced") {
  CHECK_EQ(expanded(strict("{a}")), "1");
  CHECK_EQ(expanded(strict("x{a}y{port}z")), "x1y80z");
  CHECK_EQ(expanded(strict("{a}{a}")), "11");
  CHECK_EQ(expanded(strict("")), "");
  CHECK(strict("").empty());
}

TEST_CASE("other braces are left alone") {
  for (const char* text : {"{", "}", "{}", "{ a }", "{1}", "{a b}", "{a:b}", "{a", "a}", "{\"a\": 1}", "{print $1}",
                           "{a,b}", "{-}", "{\xC3\xA4}"}) {
    CAPTURE(text);
    CHECK_EQ(expanded(strict(text)), text);
    CHECK_EQ(expanded(script(text)), text);
  }
}

TEST_CASE("what follows a dollar sign belongs to the shell") {
  CHECK_EQ(expanded(strict("${a}")), "${a}");
  CHECK_EQ(expanded(script("${HOME}/{a} $a ${a:-{a}} $")), "${HOME}/1 $a ${a:-1} $");
  CHECK_EQ(expanded(strict("$${a}")), "$${a}");
}

TEST_CASE("a doubled brace is a brace") {
  CHECK_EQ(expanded(strict("{{a}")), "{a}");
  CHECK_EQ(expanded(strict("{{a}}")), "{a}}");
  CHECK_EQ(expanded(strict("{{{a}")), "{1");
  CHECK_EQ(expanded(strict("{{{{")), "{{");
  CHECK_EQ(expanded(script("{{a}")), "{a}");
}

TEST_CASE("an unknown identifier is an error in a strict text and stays in a script") {
  const auto result = Template::parse("x {other} y", Template::Mode::strict, known);
  REQUIRE_FALSE(result.ok());
  CHECK_EQ(result.error().what, "unknown placeholder {other}");
  CHECK_NE(result.error().hint.find("{{other}"), std::string::npos);
  CHECK_EQ(expanded(script("x {other} y")), "x {other} y");
}

TEST_CASE("binding replaces what is known, leaves the rest, and never reads a value again") {
  Template text = strict("{b}:{port}:{a}");
  text.bind(values({{"a", "{port}"}, {"b", "{{a}"}}));
  CHECK_EQ(text.open_names(), std::vector<std::string>{"port"});
  CHECK_EQ(expanded(text), "{{a}:80:{port}");
}

TEST_CASE("bound and written texts are the same") {
  Template bound = strict("x{a}y");
  bound.bind(values({{"a", "-"}}));
  CHECK_EQ(bound, strict("x-y"));
  CHECK_EQ(bound, Template::literal("x-y"));
}

TEST_CASE("expanding without a value fails and names it") {
  const auto result = strict("{a}{port}").expand(values({{"a", "1"}}));
  REQUIRE_FALSE(result.ok());
  CHECK_NE(result.error().what.find("{port}"), std::string::npos);
}

TEST_CASE("open names are told once each, in order") {
  CHECK_EQ(strict("{port}{a}{port}{b}").open_names(), std::vector<std::string>{"port", "a", "b"});
  CHECK(Template::literal("{a}").open_names().empty());
}

TEST_CASE("the source of a text reads back to the same text") {
  CHECK_EQ(strict("x {a} {{b} ${a} {1}").source(), "x {a} {{b} ${a} {1}");
  CHECK_EQ(Template::literal("{a}").source(), "{{a}");
  CHECK_EQ(strict("{{{a}").source(), "{{{a}");
  CHECK_EQ(Template::literal("{\"a\": {\"b\": 1}}").source(), "{\"a\": {\"b\": 1}}");

  constexpr std::string_view letters = "{}$ab1 ";
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::size_t n = random() % 12; n > 0; --n) text += letters[random() % letters.size()];
    const Template once = script(text);
    CAPTURE(text);
    CHECK_EQ(script(once.source()), once);
  }
}

TEST_CASE("a relative path is put under a folder, any other is left alone") {
  const auto absolute = [](Template text) {
    text.make_absolute("/flow");
    return text.source();
  };
  CHECK_EQ(absolute(strict("x")), "/flow/x");
  CHECK_EQ(absolute(strict("./x/y")), "/flow/x/y");
  CHECK_EQ(absolute(strict("././x")), "/flow/x");
  CHECK_EQ(absolute(strict("../x")), "/flow/../x");
  CHECK_EQ(absolute(strict("x-{port}")), "/flow/x-{port}");
  CHECK_EQ(absolute(strict("/x")), "/x");
  CHECK_EQ(absolute(strict("{run_dir}/x")), "{run_dir}/x");
  CHECK_EQ(absolute(Template()), "");

  Template plain = strict("{a}/x");
  plain.make_absolute("/flow", [](std::string_view name) { return name == "a"; });
  CHECK_EQ(plain.source(), "/flow/{a}/x");
}

TEST_CASE("the last component of a path, and what stands before a character") {
  const auto last = [](const Template& text) { return text.last_component().source(); };
  CHECK_EQ(last(strict("a/b")), "b");
  CHECK_EQ(last(strict("/a/b//")), "b");
  CHECK_EQ(last(strict("b")), "b");
  CHECK_EQ(last(strict("//")), "");
  CHECK_EQ(last(strict("x/{a}.csv")), "{a}.csv");
  CHECK_EQ(last(strict("{b}/x-{a}/")), "x-{a}");
  CHECK_EQ(last(strict("{b}/{a}")), "{a}");
  CHECK_EQ(last(strict("{b}{a}")), "{b}{a}");
  CHECK_EQ(last(Template::literal("a/{rank}")), "{{rank}");

  const auto cut = [](Template text) {
    text.cut_at("?#");
    return text.source();
  };
  CHECK_EQ(cut(strict("a/b")), "a/b");
  CHECK_EQ(cut(strict("a{b}#{a}?")), "a{b}");
  CHECK_EQ(cut(strict("{a}?x")), "{a}");
  CHECK_EQ(cut(strict("?{a}")), "");
}

TEST_CASE("the names of the runtime are those of the contract") {
  for (const char* name : {"port", "socket", "host", "key", "replica", "rank", "task_id", "task_dir", "run_dir",
                           "workflow_dir", "scratch", "attempt"}) {
    CHECK(is_runtime_placeholder(name));
  }
  CHECK_FALSE(is_runtime_placeholder("seed"));
  CHECK_FALSE(is_runtime_placeholder(""));
}
