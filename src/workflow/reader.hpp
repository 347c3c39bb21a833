// Reads typed values out of the document tree, and says what is wrong where.
//
// A Reader turns single values into text, numbers, durations, …, with the placeholders that are known now replaced. A
// Fields reads the keys of one map: each key that the map may have is taken once, and finish() reports what is left over,
// so the list of known keys is the code that reads them. Values that are wrong leave the field at its default.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/resources.hpp"
#include "core/template.hpp"
#include "core/units.hpp"
#include "workflow/diagnostic.hpp"
#include "workflow/document.hpp"
#include "workflow/scope.hpp"

namespace trireme::workflow {

constexpr std::int64_t highest_priority = 1'000'000;  ///< of tasks and services

/// A key path, "tasks.train.after[0]", as a chain on the stack: it costs nothing until a message needs its text.
class Path {
 public:
  Path() = default;
  Path(const Path& up, std::string_view key) : up_(&up), key_(key) {}
  Path(const Path& up, std::size_t index) : up_(&up), index_(index) {}
  std::string text() const;

 private:
  static constexpr std::size_t no_index = std::numeric_limits<std::size_t>::max();
  const Path* up_ = nullptr;
  std::string_view key_;
  std::size_t index_ = no_index;
};

/// A value and what to call it. Refers to the tree and to the path of the map around it.
struct Value {
  const Node& node;
  Path path;
  Position at;
};

/// A duration as it may be bounded.
enum class Zero { allowed, refused };

class Reader {
 public:
  Reader(const Scope& scope, Diagnostics& diagnostics) : scope_(scope), diagnostics_(diagnostics) {}

  void error(const Value& value, std::string message, std::string expected = {}, std::string hint = {}) const;
  void warning(const Value& value, std::string message, std::string hint = {}) const;
  /// The error for a value of the wrong kind.
  void unexpected(const Value& value, std::string expected) const;

  /// The finished text of a scalar: every placeholder in it must have a value now.
  std::optional<std::string> text(const Value& value, std::string_view expected = "text") const;
  /// A text that may keep placeholders for the runtime and, where `need` is all that it needs of them, variables of a `foreach`:
  /// whoever asks for less than their values must not look at the text for more.
  std::optional<Template> parse(const Value& value, Template::Mode mode, std::string_view expected = "text",
                                Need need = Need::value) const;
  /// As above, of a part of a scalar.
  std::optional<Template> parse(const Value& value, std::string_view text, Template::Mode mode,
                                Need need = Need::value) const;
  /// Puts a relative path, read with Need::plain or more, under the workflow file's folder.
  void make_absolute(Template& path) const;
  std::optional<std::int64_t> integer(const Value& value, std::int64_t least, std::int64_t most) const;
  std::optional<bool> boolean(const Value& value) const;
  std::optional<Duration> duration(const Value& value, Zero zero) const;
  std::optional<std::uint64_t> size(const Value& value) const;
  std::optional<MilliGpus> gpus(const Value& value) const;

  const Scope& scope() const { return scope_; }
  Diagnostics& diagnostics() const { return diagnostics_; }

 private:
  void unknown_placeholder(const Value& value, const std::string& name) const;

  const Scope& scope_;
  Diagnostics& diagnostics_;
};

class Fields {
 public:
  /// `map` must be one; see open().
  Fields(const Reader& reader, const Node& map, const Path& path) : reader_(reader), map_(map), path_(path) {}

  /// The value of `key`, which is known from now on; nothing where the map has none.
  std::optional<Value> take(std::string_view key);
  bool has(std::string_view key) const;

  void text(std::string_view key, std::string& out);
  void text(std::string_view key, Template& out, Template::Mode mode = Template::Mode::strict, Need need = Need::value);
  void integer(std::string_view key, std::uint32_t& out, std::uint32_t least,
               std::uint32_t most = std::numeric_limits<std::int32_t>::max());
  void boolean(std::string_view key, bool& out);
  void duration(std::string_view key, Duration& out, Zero zero);
  void memory(std::string_view key, std::uint64_t& out);
  void gpus(std::string_view key, MilliGpus& out);
  /// A list of texts, or one text.
  void texts(std::string_view key, std::vector<std::string>& out);
  /// A map of environment variables. Of a `foreach` they may keep what variables there are: they are not to be looked at.
  void variables(std::string_view key, std::map<std::string, Template>& out);
  template <typename E>
  void choice(std::string_view key, E& out, std::initializer_list<std::pair<std::string_view, E>> choices);

  /// Reports the keys that nobody took.
  void finish();

  const Path& path() const { return path_; }

 private:
  const Reader& reader_;
  const Node& map_;
  const Path& path_;
  std::vector<std::string_view> taken_;
};

/// Whether the value is a map; reports it where not.
bool expect_map(const Reader& reader, const Value& value, std::string_view expected = "a map");

/// Calls `use(Value)` for each item of a list, or once for a value that is no list.
template <typename Use>
void for_each_item(const Value& value, Use use) {
  if (!value.node.is_list()) {
    use(value);
    return;
  }
  for (std::size_t i = 0; i < value.node.items.size(); ++i) {
    const Node& item = value.node.items[i];
    use(Value{item, Path(value.path, i), item.at});
  }
}

template <typename E>
void Fields::choice(std::string_view key, E& out, std::initializer_list<std::pair<std::string_view, E>> choices) {
  const auto value = take(key);
  if (!value) return;
  std::vector<std::string_view> words;
  for (const auto& [word, meaning] : choices) words.push_back(word);
  const auto text = reader_.text(*value, enumerate(words));
  if (!text) return;
  for (const auto& [word, meaning] : choices) {
    if (word == *text) {
      out = meaning;
      return;
    }
  }
  reader_.error(*value, in_quotes(*text) + " is not known here", enumerate(words), did_you_mean(*text, words));
}

/// The node of a value, or null where there is none.
inline const Node* node_of(const std::optional<Value>& value) {
  return value ? &value->node : nullptr;
}

}  // namespace trireme::workflow
