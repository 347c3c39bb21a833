// Finds what the front door needs in a JSON body, without building a document: the model's name and where it stands,
// whether a stream is asked for, who the user is, and where the prompt's text stands.
//
// Mechanism. A state machine over bytes that may come in pieces of any size. Only the keys of the outermost object are
// looked at; what is nested is passed over by counting brackets outside of strings. Positions are offsets into the whole
// body, so the holder of the body can look at the text or replace the name in place.
//
// Invariants. For a document that is valid JSON what is found is what a parser would find (a fuzzer holds it against one).
// Where two readers could disagree it fails instead: a second `model`, also one that differs only in case, since servers
// differ in which they take; a model that is no string; anything before or after the object. It does not check what is
// nested: that is the model server's. Memory is bounded by max_model_name and max_user, whatever the body.
//
// Pure; belongs to whoever holds it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trireme::proxy {

class BodyScan {
 public:
  static constexpr std::size_t max_model_name = 1024;  ///< bytes as they stand in the body
  static constexpr std::size_t max_user = 256;         ///< of a user's name; the rest is not looked at
  static constexpr std::size_t max_texts = 4;

  enum class State : std::uint8_t { reading, complete, failed };
  struct Place {
    std::size_t begin = 0;
    std::size_t size = 0;
    bool operator==(const Place&) const = default;
  };

  /// Forgets everything; keeps its memory for the next body.
  void reset();
  /// The next bytes. Complete means that the object has ended; only blanks may follow.
  State feed(std::string_view piece);
  State state() const {
    return failure_ != nullptr ? State::failed : at_ == At::end ? State::complete : State::reading;
  }
  /// Why it failed, for the client.
  std::string_view failure() const { return failure_ == nullptr ? std::string_view() : failure_; }

  /// Decoded; empty if there is none.
  const std::string& model() const { return model_.name; }
  /// Ollama's older spelling of the same, under the key `name`.
  const std::string& name() const { return name_.name; }
  /// Of the model's name in the body, without its quotes.
  Place model_place() const { return model_.place; }
  Place name_place() const { return name_.place; }
  bool stream() const { return stream_; }
  /// As it stands in the body.
  const std::string& user() const { return user_; }
  /// The values of `system`, `prompt`, `messages` and `input`, in the order of the body.
  std::span<const Place> text() const { return {text_.data(), texts_}; }

 private:
  enum class At : std::uint8_t {
    start,          // before the object
    first_key,      // after {
    key,            // after ,
    in_key,         // inside a key's quotes
    colon,          // after a key
    value,          // before a value
    in_string,      // inside a value that is a string
    in_scalar,      // inside a number, true, false or null
    in_nested,      // inside an object or array
    nested_string,  // inside a string in there
    comma,          // after a value
    end,            // after }
  };
  enum class Key : std::uint8_t { other, model, name, stream, user, text };
  struct Named {
    std::string name;
    Place place;
    bool seen = false;
  };

  void fail(const char* why) { failure_ = why; }
  std::size_t step(std::string_view piece, std::size_t i);
  std::size_t string_end(std::string_view piece, std::size_t i);
  void keep(std::string_view bytes);
  Key key_of();
  void value_begins(char first, std::size_t at);
  void value_ended(std::size_t at);

  At at_ = At::start;
  Key key_ = Key::other;
  bool escaped_ = false;      // the next byte of a string follows a backslash
  bool has_escapes_ = false;  // the captured string has some
  std::size_t depth_ = 0;     // of nesting below the outermost object
  std::size_t offset_ = 0;    // of the piece being read
  std::size_t value_at_ = 0;
  std::size_t capture_limit_ = 0;
  bool capture_cut_ = false;
  std::string captured_;  // of the string being read, as it stands in the body
  const char* failure_ = nullptr;

  Named model_;
  Named name_;
  bool stream_ = false;
  std::string user_;
  std::array<Place, max_texts> text_;
  std::size_t texts_ = 0;
};

/// Decodes what stands between the quotes of a JSON string. False if it holds an escape that JSON does not know.
bool unescape(std::string_view raw, std::string& out);
/// The other way round: what stands between the quotes.
std::string escape(std::string_view text);

}  // namespace trireme::proxy
