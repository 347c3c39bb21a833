// Errors are values with text for the user.
//
// A function that can fail returns Result<T> (or Status when there is nothing to return). An Error says what happened,
// where, and what to do; it is made where the failure is understood and passed up unchanged, so that what a person reads
// at the terminal is what the failing part knew. Exceptions from libraries are caught at the border to them.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "trireme/exit_code.hpp"

namespace trireme {

/// What went wrong, in words for the user.
struct Error {
  /// What happened, without a trailing full stop: "cannot open the run directory: No space left on device".
  std::string what;
  /// Where: "flow.yaml:12:5", "task train[seed=1]", "node 3 (n003)"; empty where there is nothing to add.
  std::string where;
  /// What to do about it: "free some space and run again with --resume"; may be empty.
  std::string hint;
  /// The exit code of the program if this error ends it.
  ExitCode code = ExitCode::runtime_failed;

  /// "where: what (hint)", on one line.
  std::string text() const {
    std::string out = where.empty() ? what : where + ": " + what;
    if (!hint.empty()) out += " (" + hint + ")";
    return out;
  }
  bool operator==(const Error&) const = default;
};

/// Either a value or the Error that kept it from being made.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return assert(ok()), *std::get_if<0>(&state_); }
  const T& value() const& { return assert(ok()), *std::get_if<0>(&state_); }
  T&& value() && { return assert(ok()), std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & { return assert(!ok()), *std::get_if<1>(&state_); }
  const Error& error() const& { return assert(!ok()), *std::get_if<1>(&state_); }
  Error&& error() && { return assert(!ok()), std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

/// The result of something that yields no value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return assert(error_), *error_; }
  Error&& error() && { return assert(error_), std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace trireme
