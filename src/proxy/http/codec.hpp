// HTTP/1.1 as bytes: heads parsed and written, bodies framed and unframed.
//
// Nothing here does I/O or holds a socket. Parsing is incremental: the caller shows all bytes received so far and is told
// whether a head is complete, how many bytes it took, or why it is refused. Body bytes are handed out as views into the
// caller's buffer; nothing is copied.
//
// The codec is strict, because it stands between clients and servers that may read a lenient message differently
// (request smuggling): what is ambiguous is refused, and heads are always written anew from their parsed form. The rules and
// the statuses are listed in docs/spec/http-codec.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/http/head.hpp"

namespace trireme::proxy::http {

/// Why a head is refused.
struct HeadError {
  int status = 0;         ///< what to answer to a client: 400, 413, 414, 417, 431, 501 or 505
  std::string_view what;  ///< in words, a literal
};

/// Reads one head at a time; reset() makes it ready for the next.
class HeadParser {
 public:
  enum class State {
    more,   ///< the head is not complete
    done,   ///< `out` is filled, consumed() bytes were its head
    error,  ///< error() says why; the connection cannot go on
  };

  /// `in` begins with the head's first byte and only grows from call to call.
  State parse_request(std::string_view in, RequestHead& out);
  /// The body that the head announces; whether it follows depends on the request, see follows().
  State parse_response(std::string_view in, ResponseHead& out);

  std::size_t consumed() const { return consumed_; }
  const HeadError& error() const { return error_; }
  void reset() { *this = {}; }

 private:
  State find_end(std::string_view in);
  State fail(int status, std::string_view what);
  State parse_fields(std::string_view lines, Headers& headers, bool request, bool http10);

  std::size_t scanned_ = 0;  ///< up to here there are only complete lines, none of them the empty one
  std::size_t start_ = 0;    ///< of the first line: 2 after an empty line before a request
  std::size_t consumed_ = 0;
  std::size_t lines_ = 0;
  HeadError error_;

  // What the fields said about framing.
  Body body_;
  bool keep_alive_ = true;
  bool expect_continue_ = false;
  unsigned hosts_ = 0;
};

/// 1xx and 204 announce no body, and none follows.
constexpr bool never_has_body(int status) {
  return status < 200 || status == 204;
}

/// The body that follows this response on the wire: none after HEAD, 1xx, 204 and 304, whatever the head announces.
Body follows(const ResponseHead& head, std::string_view request_method);

/// Takes the framing off a body.
class BodyDecoder {
 public:
  explicit BodyDecoder(Body body = {});

  struct Piece {
    std::size_t consumed = 0;  ///< bytes of `in` that are done with: framing, then `data`
    std::string_view data;     ///< a view into `in`; may be empty
  };
  /// Takes framing and at most one run of data from the front of `in`. Nothing consumed means: done, failed, or more bytes
  /// are needed.
  Piece next(std::string_view in);
  /// The connection ended. True if that was the end of the body too.
  bool at_eof();

  bool done() const { return state_ == State::done; }
  /// Bytes of the body that have not come out yet; nothing where that is not known before its end.
  std::optional<std::uint64_t> left() const {
    if (done()) return 0;
    return state_ == State::data && !chunked_ ? std::optional(left_) : std::nullopt;
  }
  bool failed() const { return state_ == State::failed; }
  /// The next bytes are data, with no framing before them.
  bool inside_data() const { return state_ == State::data || state_ == State::until_close; }
  /// After failed(): why, a literal.
  std::string_view error() const { return error_; }

 private:
  enum class State : std::uint8_t {
    data,  ///< of known length: the body's or the chunk's
    until_close,
    size_first,
    size,
    extension,
    size_lf,
    data_cr,
    data_lf,
    trailer_first,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
    done,
    failed,
  };
  bool framing(char c);
  bool fail(std::string_view what);

  State state_ = State::done;
  bool chunked_ = false;
  std::uint64_t left_ = 0;    ///< bytes of data still to come
  std::size_t overhead_ = 0;  ///< of this chunk's size line, or of all trailers
  std::string_view error_;
};

/// Appends the line that begins a chunk of `size` bytes; after its data comes `crlf`.
void append_chunk_size(std::string& out, std::size_t size);
constexpr std::string_view crlf = "\r\n";
constexpr std::string_view last_chunk = "0\r\n\r\n";
constexpr std::string_view continue_head = "HTTP/1.1 100 Continue\r\n\r\n";

/// Appends a head with the framing fields for `body`, for a connection that is to be kept: what `head` says about its own
/// connection (keep_alive, expect_continue) is not passed on. Names and values must be free of control characters, as
/// parsed ones are.
void append_head(std::string& out, const RequestHead& head, Body body);
/// Appends a head with its framing fields.
/// `http10`: the client speaks HTTP/1.0. `method` is the request's: an answer to HEAD announces no body of unknown length.
void append_head(std::string& out, const ResponseHead& head, std::string_view method, bool http10);

/// "Not Found" for 404; "Unknown" where there is no name.
std::string_view reason_phrase(int status);

/// Removes what is meant for one hop only: Connection and what it names, Keep-Alive, Proxy-*, TE, Trailer, Upgrade. Parsing
/// has already removed Connection and what it named.
void strip_hop_by_hop(Headers& headers);
/// Removes what the value of a Connection header names.
void remove_named(Headers& headers, std::string_view connection);

/// The path and query of a target: of "http://host/path?q" it is "/path?q".
std::string_view origin_form(std::string_view target);

}  // namespace trireme::proxy::http
