// Texts with placeholders: `{name}` in commands, scripts, paths and environment values.
//
// A Template is parsed once, against the names that are known where it stands; what is known when the workflow is loaded
// (parameters) is bound then, variables of a foreach then or when the instance is written out (core/task_family.hpp), the rest
// (port, task_dir, …) when the attempt starts. Binding never parses again, so a value that holds braces is just text. Rules
// (DESIGN section 5): `{name}` is a placeholder where `name` is an identifier; whatever follows `$` is left alone, and so is
// anything else in braces; `{{` is a brace. In strict texts (commands, paths) an unknown identifier is an error that proposes
// `{{`; in scripts it is left alone.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace trireme {

class Template {
 public:
  enum class Mode { strict, script };
  using Lookup = std::function<std::optional<std::string>(std::string_view name)>;
  using IsKnown = std::function<bool(std::string_view name)>;

  Template() = default;
  /// A text without placeholders, whatever braces it holds.
  static Template literal(std::string text);
  /// In strict mode fails on an identifier in braces that `is_known` refuses; the error's text names it.
  static Result<Template> parse(std::string_view text, Mode mode, const IsKnown& is_known);

  /// Replaces the placeholders for which `lookup` has a value; the others stay.
  void bind(const Lookup& lookup);
  /// The finished text; fails where a placeholder has no value, naming it.
  Result<std::string> expand(const Lookup& lookup) const;
  /// For a path: puts a relative one under `folder`. One that starts with a placeholder is left alone, as it may be absolute,
  /// unless `is_relative` says that no value of it is.
  void make_absolute(std::string_view folder, const IsKnown& is_relative = nullptr);
  /// Takes away the first of these characters and all behind it. Characters of placeholders do not count, here and below.
  void cut_at(std::string_view characters);
  /// For a path: what stands behind its last slash, but for slashes at its end.
  Template last_component() const;
  /// The text as a person would write it: parse() reads it back to the same.
  std::string source() const;
  /// The names that are still open, each once, in order of appearance.
  std::vector<std::string> open_names() const;
  bool empty() const { return pieces_.empty(); }

  bool operator==(const Template&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(pieces_);
  }

 private:
  struct Piece {
    bool placeholder = false;
    std::string text;
    bool operator==(const Piece&) const = default;
    template <typename Archive>
    void serialize(Archive& archive) {
      archive(placeholder, text);
    }
  };
  void append_literal(std::string_view text);
  std::vector<Piece> pieces_;
};

/// Whether `name` is one that the runtime fills in when an attempt starts (port, task_dir, rank, …).
bool is_runtime_placeholder(std::string_view name);

}  // namespace trireme
