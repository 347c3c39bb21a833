// What is wrong with a workflow file, in words for its author.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace trireme {

/// One thing that is wrong, or doubtful, and where.
struct Diagnostic {
  std::string file;          ///< as the user named it; "--set" for what came from the command line
  std::uint32_t line = 0;    ///< from 1; 0 where there is no position
  std::uint32_t column = 0;  ///< from 1, in characters
  std::string key;           ///< "tasks.train.retries"; empty where it is about the file as a whole
  std::string message;       ///< what was found
  std::string expected;      ///< what may stand there; may be empty
  std::string hint;          ///< what to do; may be empty

  /// "flow.yaml:12:5: tasks.train.retries: "many" is not a whole number; expected …; hint".
  std::string text() const;
  bool operator==(const Diagnostic&) const = default;
};

namespace workflow {

/// A place in the file, both from 1.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  bool operator==(const Position&) const = default;
};

/// Collects what is wrong with one file. The same words at the same place are kept once (every instance of a `foreach` would
/// repeat them), and a bounded number of them.
class Diagnostics {
 public:
  explicit Diagnostics(std::string file) : file_(std::move(file)) {}

  void error(Position at, std::string key, std::string message, std::string expected = {}, std::string hint = {});
  void warning(Position at, std::string key, std::string message, std::string hint = {});
  /// An error in a text of the command line.
  void option_error(std::string option, std::string message, std::string expected = {}, std::string hint = {});

  /// How often an error was reported, kept or not: for asking whether a step went well.
  std::size_t error_count() const { return reported_; }
  std::vector<Diagnostic> take_errors() { return std::move(errors_); }
  std::vector<Diagnostic> take_warnings() { return std::move(warnings_); }

 private:
  void add(std::vector<Diagnostic>& list, Diagnostic diagnostic);

  std::string file_;
  std::vector<Diagnostic> errors_;
  std::vector<Diagnostic> warnings_;
  std::size_t reported_ = 0;
  std::unordered_set<std::string> seen_;
};

/// The text in quotes, shortened, with control characters made visible: for messages.
std::string in_quotes(std::string_view text);

/// `did you mean "NAME"?` for the candidate most like `name`; empty where none is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string_view>& candidates);

/// "a, b or c".
std::string enumerate(const std::vector<std::string_view>& words);

}  // namespace workflow
}  // namespace trireme
