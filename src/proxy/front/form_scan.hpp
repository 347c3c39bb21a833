// Finds the field `model` in a form with files (multipart/form-data, RFC 7578), such as audio to be transcribed comes in.
//
// Mechanism. The body lies whole, or as far as it has come, in one piece of memory; each look goes on where the last one
// ended. Delimiters are searched for as bytes, so what lies between two of them, a file perhaps, is passed over and never
// read. The field may stand anywhere, behind the file too.
//
// Invariants. The same bytes give the same result, whatever the pieces they came in. Two fields `model` fail, since servers
// differ in which they take. Each byte is searched once, but for a delimiter's length at the end of each look; a part's
// headers, the boundary and the model's name have bounds.
//
// Pure; belongs to whoever holds it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/front/body_scan.hpp"
#include "proxy/http/headers.hpp"

namespace trireme::proxy {

class FormScan {
 public:
  static constexpr std::size_t max_boundary = 200;
  static constexpr std::size_t max_part_head = 8u << 10;

  explicit FormScan(std::string_view boundary) : delimiter_("\r\n--" + std::string(boundary)) {}

  /// `body` begins with the body's first byte and only grows from look to look. Complete means that the last delimiter has come.
  BodyScan::State look(std::string_view body);
  BodyScan::State state() const;
  /// Why it failed, for the client.
  std::string_view failure() const { return failure_ == nullptr ? std::string_view() : failure_; }

  /// As it stands in the body; empty if there is none.
  const std::string& model() const { return model_; }
  BodyScan::Place model_place() const { return place_; }

 private:
  enum class At : unsigned char {
    outside,  // before a delimiter: the preamble, or a part that is of no interest
    model,    // the same, in the part that is sought
    line,     // behind a delimiter
    head,     // in the headers of a part
    end,      // behind the last delimiter
  };
  void fail(const char* why) { failure_ = why; }
  bool step(std::string_view body);
  bool skip(std::string_view body);
  bool begin_part(std::string_view body);
  bool read_head(std::string_view body);

  const std::string delimiter_;  // with the line end before it
  At at_ = At::outside;
  bool begun_ = false;
  std::size_t offset_ = 0;  // everything before it is done with
  std::size_t part_ = 0;    // where the part that is sought begins
  bool seen_ = false;
  std::string model_;
  BodyScan::Place place_;
  const char* failure_ = nullptr;
};

/// A parameter of a header's value: "x" is `boundary` of `multipart/form-data; boundary=x`. Without its quotes.
std::optional<std::string> parameter_of(std::string_view value, std::string_view name);

/// The headers are those of a form with files.
bool is_form(const http::Headers& headers);
/// Its boundary; nothing where there is none that could be one.
std::optional<std::string> boundary_of(const http::Headers& headers);

}  // namespace trireme::proxy
