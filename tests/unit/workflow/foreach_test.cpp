// The instances of a `foreach` are read once where that is enough, and what comes of it is what reading each of them would give. The
// measure is the same task without a foreach, with a parameter in place of the variable: parameters are put in at once.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "workflow/load.hpp"

namespace {

using namespace trireme;
using Texts = std::vector<std::string>;

/// Which values leave the instances together.
enum class Together { always, unless_empty, if_plain, never };

struct Case {
  std::string keys;  ///< of the task, as in braces
  Together together;
};

const std::vector<Case> cases{
    {"command: [run, '-x={v}', '{v}{v}', '{{v}', '${v}', '{task_id}-{v}', '{p}{v}']", Together::always},
    {"command: 'run --seed {v} \"a {v}\"'", Together::always},
    {"script: 'x={v}; echo ${v} {unknown} {{v} {rank} {port}'", Together::always},
    {"script: '{v}'", Together::always},
    {"command: x, env: {A: '{v}', B: '{host}{v}', C: c}", Together::always},
    {"command: x, cwd: '{v}', stdin: '{v}.in', stdout: 'out-{v}', stderr: '{run_dir}/{v}'", Together::always},
    {"command: x, output: stream, ranks: 2, mpi: true, cores: 3, gpus: 1, memory: 2G", Together::always},
    {"command: x, exclusive: true, ranks_per_node: 2, colocate: here, timeout: 5m, retries: 2, priority: -3",
     Together::always},
    {"command: x, environment: e, services: [s], after: [first]", Together::always},
    {"command: [x, '{v}'], cores_per_rank: 2, gpus_per_rank: 0.5, memory_per_rank: 4G", Together::always},
    {"function: {python: 'm:f', path: lib}, args: [1, two, {a: 3}]", Together::always},
    {"function: {library: ./lib.so, symbol: f}, args: [{result: first}]", Together::always},
    {"command: x, outputs: ['{v}', 'a/{v}.txt', plain]", Together::unless_empty},
    {"command: x, outputs: [{from: 'r{v}', to: '{v}'}, {from: r, to: '{run_dir}/{v}', mode: move}]",
     Together::unless_empty},
    {"command: x, inputs: [{from: a, to: '{v}'}]", Together::unless_empty},
    {"command: ['./run-{v}', x]", Together::if_plain},
    {"command: ['run-{v}']", Together::if_plain},
    {"command: ['{v}']", Together::if_plain},
    {"command: ['{v}/run']", Together::if_plain},
    {"command: ['./{v}', '{v}']", Together::if_plain},
    {"command: ['.{v}/x']", Together::if_plain},
    {"command: ['{workflow_dir}/{v}']", Together::if_plain},
    {"command: x, inputs: ['data/{v}.csv', '{v}', './{v}', '{v}/', 'a/{v}/b//', '{run_dir}/{v}']", Together::if_plain},
    {"command: x, inputs: [{from: '{v}', to: 'in-{v}', mode: link}, {from: 'b{v}', mode: broadcast}]",
     Together::if_plain},
    {"command: x, inputs: ['https://host/{v}/file-{v}.txt?q={v}#x', 'http://{v}/a']", Together::if_plain},
    {"command: x, inputs: ['{p}{v}', '{p}/{v}{p}']", Together::if_plain},
    {"command: x, ranks: '{v}'", Together::never},
    {"command: x, mpi: '{v}'", Together::never},
    {"command: x, cores: '{v}'", Together::never},
    {"command: x, gpus: '{v}'", Together::never},
    {"command: x, memory: '{v}G'", Together::never},
    {"command: x, ranks_per_node: '{v}'", Together::never},
    {"command: x, exclusive: '{v}'", Together::never},
    {"command: x, colocate: 'on-{v}'", Together::never},
    {"command: x, after: ['other[i={v}]']", Together::never},
    {"command: x, services: ['{v}']", Together::never},
    {"command: x, environment: '{v}'", Together::never},
    {"command: x, timeout: '{v}s'", Together::never},
    {"command: x, retries: '{v}'", Together::never},
    {"command: x, priority: '-{v}'", Together::never},
    {"command: x, output: '{v}'", Together::never},
    {"command: x, inputs: [{from: a, mode: '{v}'}]", Together::never},
    {"function: {python: 'm:f{v}', path: '{v}'}, args: []", Together::never},
    {"function: {library: '{v}', symbol: f}", Together::never},
    {"function: {python: 'm:f'}, args: ['{v}', {a: '{v}'}, '{{v}']", Together::never},
};

std::string quoted(const Texts& values) {
  std::string out;
  for (const std::string& value : values) {
    out += (out.empty() ? "\"" : ", \"");
    for (const char c : value) out += (c == '"' || c == '\\' ? std::string("\\") : "") + c;
    out += '"';
  }
  return out;
}

LoadResult load(const std::string& text, const Texts& settings = {}) {
  return load_workflow_text(text, "f.yaml", "/flow", settings);
}

/// The task `t` of a file that has what the cases name beside it.
std::string file_with(const std::string& parameter, const std::string& keys) {
  return "parameters:\n  " + parameter +
         ":\n"
         "  p: a$\n"
         "tasks:\n"
         "  t: {" +
         keys +
         "}\n"
         "  first: {command: x}\n"
         "  other: {foreach: {i: 1-3}, command: [x, '{p}']}\n"
         "services: {s: {command: [serve, '{port}']}}\n"
         "environments: {e: {setup: x}}\n";
}

/// Values as they are, whatever braces they hold, and not as YAML has them.
LoadResult load_foreach(const std::string& keys, const Texts& values) {
  return load(file_with("list", keys + ", foreach: {v: '{list}'}"), {"list=[" + quoted(values) + "]"});
}
LoadResult load_one(const std::string& keys, const std::string& value) {
  return load(file_with("v", keys), {"v=" + quoted({value})});
}

std::string words_of(const Diagnostic& d) {
  return std::to_string(d.line) + ":" + std::to_string(d.column) + " " + d.key + ": " + d.message + "; " + d.expected +
         "; " + d.hint;
}

/// What is said of the task `t`.
Texts words_of(const std::vector<Diagnostic>& diagnostics) {
  Texts out;
  for (const Diagnostic& d : diagnostics) {
    if (d.key.starts_with("tasks.t")) out.push_back(words_of(d));
  }
  return out;
}

std::vector<TaskFamily> families_of(const LoadResult& loaded, const std::string& name) {
  std::vector<TaskFamily> out;
  for (const TaskFamily& family : loaded.workflow.tasks) {
    if (family.shared().name == name) out.push_back(family);
  }
  return out;
}

std::vector<TaskDescription> instances_of(const LoadResult& loaded, const std::string& name) {
  std::vector<TaskDescription> out;
  for (const TaskFamily& family : families_of(loaded, name)) {
    for (std::uint32_t i = 0; i < family.size(); ++i) {
      out.push_back(family.instance(i));
      CHECK(family.find(out.back().id) == i);
    }
  }
  return out;
}

/// Holds the instances against each value by itself. False where one of them is an error, in which case that is said first.
bool agree(const std::string& keys, const Texts& values, const LoadResult& all) {
  std::vector<TaskDescription> alone;
  for (const std::string& value : values) {
    const LoadResult one = load_one(keys, value);
    if (!one.ok()) {
      Texts words = words_of(all.errors);
      const Texts expected = words_of(one.errors);
      CHECK_GE(words.size(), expected.size());
      words.resize(expected.size());
      CHECK_EQ(words, expected);
      return false;
    }
    // The first instance says what there is to say of all.
    if (value == values.front()) CHECK_EQ(words_of(all.warnings), words_of(one.warnings));
    alone.push_back(instances_of(one, "t").at(0));
    alone.back().id = "t[v=" + value + "]";
  }
  REQUIRE(all.ok());
  const auto instances = instances_of(all, "t");
  REQUIRE_EQ(instances.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(values[i]);
    CHECK_EQ(instances[i].id, alone[i].id);
    CHECK(instances[i] == alone[i]);
  }
  return true;
}

/// The same file, with each `foreach` task written out because a number in it depends on a variable.
std::string written_out(std::string text) {
  const std::string mark = "/*here*/";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
    text.replace(at, mark.size(), ", retries: '{i}'");
  }
  return text;
}

std::string together(std::string text) {
  const std::string mark = "/*here*/";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) text.erase(at, mark.size());
  return text;
}

Texts all_words(const LoadResult& loaded) {
  Texts out;
  for (const Diagnostic& error : loaded.errors) out.push_back(words_of(error));
  return out;
}

}  // namespace

TEST_CASE("foreach: instances are what each would be by itself, whatever key a variable is in") {
  const Texts numbers{"1", "2", "3"};
  const Texts plain{"x", "2.5", "a-b_c", "-1", "some.txt"};
  const Texts filled{"a/b", "/abs",      "./x", "../x", "http://h/f?q#r", "{rank}", "{v}",      "$", "a$",
                     "..",  ".",         "/",   "a//",  ".hidden",        "a b",    "\xc3\xbc", "{", "{{",
                     "}",   "{{rank}}/", "://", "?",    "true",           "x"};
  for (const Case& c : cases) {
    CAPTURE(c.keys);
    const auto check = [&](const Texts& values, bool one_family) {
      const LoadResult all = load_foreach(c.keys, values);
      if (agree(c.keys, values, all)) CHECK_EQ(families_of(all, "t").size(), one_family ? 1 : values.size());
    };
    check(numbers, c.together != Together::never);
    check(plain, c.together != Together::never);
    check(filled, c.together == Together::always || c.together == Together::unless_empty);
    check({"x", "", "y"}, c.together == Together::always);
    // One by one with a value that is none in a path: what is wrong with that one is told, and what is right is kept.
    for (const std::string& value : filled) check({"x", value + "!"}, c.together <= Together::unless_empty);
  }
}

TEST_CASE("foreach: there is a case for each key of a task") {
  std::ifstream file(std::string(TRIREME_SOURCE_DIR) + "/docs/spec/workflow.schema.json");
  const auto schema = nlohmann::json::parse(file);
  for (const auto& [key, what] : schema.at("definitions").at("task").at("properties").items()) {
    if (key == "foreach") continue;
    CAPTURE(key);
    CHECK(std::any_of(cases.begin(), cases.end(), [&, name = key](const Case& c) {
      return (" " + c.keys).find(" " + name + ":") != std::string::npos;
    }));
  }
}

TEST_CASE("foreach: a cross product and rows are what a parameter for each variable gives") {
  const auto instances = instances_of(
      load("tasks: {t: {foreach: {a: [x, y], b: 8-12:2}, command: [x, '{a}-{b}'], outputs: ['{b}{a}']}}"), "t");
  REQUIRE_EQ(instances.size(), 6);
  CHECK_EQ(instances[4].id, "t[a=y,b=10]");
  CHECK_EQ(instances[4].command[1], Template::literal("y-10"));
  CHECK_EQ(instances[4].outputs[0].from, Template::literal("10y"));

  const LoadResult rows =
      load("tasks: {t: {foreach: [{m: small, r: 0.1}, {m: small, r: 0.2}, {r: 0.1, m: big}], command: [x, '{m}{r}']}}");
  CHECK_EQ(families_of(rows, "t").size(), 1);
  const auto each = instances_of(rows, "t");
  REQUIRE_EQ(each.size(), 3);
  CHECK_EQ(each[1].id, "t[m=small,r=0.2]");
  CHECK_EQ(each[1].command[1], Template::literal("small0.2"));
  CHECK_EQ(each[2].command[1], Template::literal("big0.1"));
}

TEST_CASE("foreach: ten million instances are one description, and no more are allowed") {
  const LoadResult range = load("tasks: {t: {foreach: {i: 0-9999999}, command: [x, '{i}'], inputs: ['in/{i}']}}");
  REQUIRE(range.ok());
  CHECK_EQ(range.workflow.tasks.size(), 1);
  CHECK_EQ(range.workflow.task_count(), 10'000'000);
  CHECK_EQ(range.workflow.tasks[0].instance(9'999'999).inputs[0].to, Template::literal("9999999"));
  const LoadResult product = load("tasks: {t: {foreach: {i: 1-10000, j: 1-1000}, command: [x, '{i}', '{j}']}}");
  CHECK_EQ(product.workflow.tasks.size(), 1);
  CHECK_EQ(product.workflow.tasks[0].id(9'999'999), "t[i=10000,j=1000]");
  const LoadResult more =
      load("tasks:\n  a: {foreach: {i: 1-9999999}, command: x}\n  b: {foreach: {i: 1-2}, command: x}\n");
  REQUIRE_EQ(more.errors.size(), 1);
  CHECK_EQ(more.errors[0].text(), "f.yaml:3:16: tasks.b.foreach: there are too many tasks; expected 10000000 at most");
}

TEST_CASE("foreach: two instances with one id are found, however they come about") {
  const auto error_of = [](const std::string& values) {
    const LoadResult one = load("tasks:\n  t: {foreach: " + values + ", command: [x, '{a}']}\n");
    const LoadResult each = load("tasks:\n  t: {foreach: " + values + ", command: x, colocate: '{a}'}\n");
    CHECK_EQ(all_words(one), all_words(each));
    if (one.ok()) return std::string();
    REQUIRE_EQ(one.errors.size(), 1);
    CHECK_EQ(one.errors[0].line, 2);
    CHECK_EQ(one.errors[0].column, 3);
    CHECK_EQ(one.errors[0].hint, "a value is in foreach twice");
    return one.errors[0].message;
  };
  CHECK_EQ(error_of("{a: [1, 2, 1]}"), "two instances have the id \"t[a=1]\"");
  CHECK_EQ(error_of("{a: 1-3, b: [x, y, z, y, x]}"), "two instances have the id \"t[a=1,b=y]\"");
  CHECK_EQ(error_of("{a: [1, 2, 2], b: [x, x]}"), "two instances have the id \"t[a=1,b=x]\"");
  CHECK_EQ(error_of("[{a: 1, b: 2}, {a: 1, b: 3}, {a: 1, b: 2}]"), "two instances have the id \"t[a=1,b=2]\"");
  CHECK_EQ(error_of("{a: ['1,b=2', '1'], b: ['3', '2,b=3']}"), "two instances have the id \"t[a=1,b=2,b=3]\"");
  CHECK_EQ(error_of("{a: ['1,b=2', '1'], b: ['3', '2;b=3']}"), "");
  CHECK_EQ(error_of("{a: ['1]', '1', '1]]'], b: ['[', ']']}"), "");
  CHECK_EQ(error_of("[{a: 1, b: 2}, {a: 1, b: 3}, {a: 2, b: 2}]"), "");
}

TEST_CASE("foreach: what tasks say of each other is checked for instances that are together as for those written out") {
  constexpr std::array names{"a", "b", "c", "d"};
  std::mt19937 random(7);
  int cycles = 0;
  int good = 0;
  for (int round = 0; round < 1000; ++round) {
    const auto pick = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    std::string text = "tasks:\n";
    for (const char* name : names) {
      const bool many = pick(3) > 0;
      text += "  " + std::string(name) + ": {command: x, after: [";
      Texts after;
      for (std::size_t n = pick(3); n > 0; --n) {
        std::string other = names[pick(names.size())];
        if (pick(2) == 0) other += "[i=" + std::to_string(pick(4)) + "]";
        if (std::find(after.begin(), after.end(), other) == after.end()) after.push_back(std::move(other));
      }
      for (std::size_t i = 0; i < after.size(); ++i) text += (i > 0 ? ", '" : "'") + after[i] + "'";
      text += many ? "], foreach: {i: 0-2}/*here*/}\n" : "]}\n";
    }
    CAPTURE(text);
    const LoadResult one = load(together(text));
    const LoadResult each = load(written_out(text));
    CHECK_EQ(all_words(one), all_words(each));
    CHECK_EQ(one.ok(), each.ok());
    good += one.ok() ? 1 : 0;
    for (const Diagnostic& error : one.errors) cycles += error.message.find("wait for each other") != std::string::npos;
  }
  CHECK_GT(cycles, 30);
  CHECK_GT(good, 30);
}

TEST_CASE("foreach: instances that are together may come after one instance of others, and others after one of them") {
  const LoadResult loaded = load(
      "tasks:\n"
      "  a: {foreach: {i: 0-999}, command: [x, '{i}']}\n"
      "  b: {foreach: {i: 0-999}, command: [x, '{i}'], after: ['a[i=7]', c]}\n"
      "  c: {command: x, after: ['a[i=999]']}\n"
      "  d: {command: x, after: ['b[i=1000]']}\n");
  REQUIRE_EQ(loaded.errors.size(), 1);
  CHECK_EQ(loaded.errors[0].text(),
           "f.yaml:5:27: tasks.d.after[0]: there is no task \"b[i=1000]\"; the first instance is \"b[i=0]\"");
}
