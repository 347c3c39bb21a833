// Bodies without their framing, one byte of framing at a time; runs of data are passed over whole.
#include <algorithm>
#include <array>
#include <charconv>

#include "core/defaults.hpp"
#include "proxy/http/codec.hpp"
#include "proxy/http/text.hpp"

namespace trireme::proxy::http {

BodyDecoder::BodyDecoder(Body body) {
  switch (body.kind) {
    case Body::Kind::none:
      break;
    case Body::Kind::length:
      left_ = body.length;
      state_ = left_ == 0 ? State::done : State::data;
      break;
    case Body::Kind::chunked:
      chunked_ = true;
      state_ = State::size_first;
      break;
    case Body::Kind::until_close:
      state_ = State::until_close;
      break;
  }
}

bool BodyDecoder::fail(std::string_view what) {
  state_ = State::failed;
  error_ = what;
  return false;
}

bool BodyDecoder::at_eof() {
  if (state_ == State::until_close) state_ = State::done;
  return done();
}

/// Takes one byte of framing. False when it is not allowed there.
bool BodyDecoder::framing(char c) {
  if (++overhead_ > defaults::http_chunk_line) return fail("the framing of a chunk is too long");
  switch (state_) {
    case State::size_first:
    case State::size: {
      const char letter = static_cast<char>(c | 0x20);
      unsigned digit = 0;
      if (is_digit(c)) {
        digit = static_cast<unsigned>(c - '0');
      } else if (letter >= 'a' && letter <= 'f') {
        digit = static_cast<unsigned>(letter - 'a') + 10;
      } else if (state_ == State::size && c == ';') {
        state_ = State::extension;
        return true;
      } else if (state_ == State::size && c == '\r') {
        state_ = State::size_lf;
        return true;
      } else {
        return fail("a chunk's size is not a hexadecimal number");
      }
      if (left_ > (INT64_MAX >> 4)) return fail("a chunk's size is beyond all bounds");
      left_ = left_ << 4 | digit;
      state_ = State::size;
      return true;
    }
    case State::extension:
      if (c == '\r') {
        state_ = State::size_lf;
      } else if (!is(value_char, c)) {
        return fail("a chunk's extension holds a control character");
      }
      return true;
    case State::size_lf:
      if (c != '\n') return fail("a chunk's size line does not end with CR LF");
      state_ = left_ == 0 ? State::trailer_first : State::data;
      overhead_ = 0;
      return true;
    case State::data_cr:
      if (c != '\r') return fail("a chunk is longer than its size");
      state_ = State::data_lf;
      return true;
    case State::data_lf:
      if (c != '\n') return fail("a chunk is longer than its size");
      state_ = State::size_first;
      overhead_ = 0;
      return true;
    case State::trailer_first:
      if (c == '\r') {
        state_ = State::last_lf;
        return true;
      }
      [[fallthrough]];
    case State::trailer_name:
      if (c == ':' && state_ == State::trailer_name) {
        state_ = State::trailer_value;
      } else if (is(token_char, c)) {
        state_ = State::trailer_name;
      } else {
        return fail("a trailer is no header line");
      }
      return true;
    case State::trailer_value:
      if (c == '\r') {
        state_ = State::trailer_lf;
      } else if (!is(value_char, c)) {
        return fail("a trailer holds a control character");
      }
      return true;
    case State::trailer_lf:
      if (c != '\n') return fail("a trailer does not end with CR LF");
      state_ = State::trailer_first;
      return true;
    case State::last_lf:
      if (c != '\n') return fail("the last chunk does not end with CR LF");
      state_ = State::done;
      return true;
    default:
      return false;
  }
}

BodyDecoder::Piece BodyDecoder::next(std::string_view in) {
  std::size_t used = 0;
  while (used < in.size()) {
    if (state_ == State::until_close) return {in.size(), in.substr(used)};
    if (state_ == State::data) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size() - used));
      left_ -= size;
      if (left_ == 0) state_ = chunked_ ? State::data_cr : State::done;
      return {used + size, in.substr(used, size)};
    }
    if (done() || failed() || !framing(in[used])) break;
    ++used;
  }
  return {used, {}};
}

void append_chunk_size(std::string& out, std::size_t size) {
  std::array<char, 16> digits;
  auto [end, ec] = std::to_chars(digits.data(), digits.data() + digits.size(), size, 16);
  out.append(digits.data(), end).append(crlf);
}

}  // namespace trireme::proxy::http
