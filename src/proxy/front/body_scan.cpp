#include "proxy/front/body_scan.hpp"

#include <algorithm>
#include <cstring>

#include "proxy/http/head.hpp"

namespace trireme::proxy {

namespace {

constexpr std::size_t longest_key = 8;  // "messages"
constexpr std::size_t bytes_per_escape = 6;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool is_scalar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' || c == '.';
}

/// The first quote or backslash at `i` or behind it, or the end. Eight bytes at a time.
std::size_t find_special(std::string_view text, std::size_t i) {
  constexpr std::uint64_t ones = 0x0101'0101'0101'0101u;
  const auto has_zero = [](std::uint64_t word) { return (word - ones) & ~word & (ones << 7); };
  for (std::uint64_t word = 0; i + sizeof word <= text.size(); i += sizeof word) {
    std::memcpy(&word, text.data() + i, sizeof word);
    if ((has_zero(word ^ (ones * '"')) | has_zero(word ^ (ones * '\\'))) != 0) break;
  }
  while (i < text.size() && text[i] != '"' && text[i] != '\\') ++i;
  return i;
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The four digits after "\u", or -1.
int code_unit(std::string_view raw, std::size_t at) {
  if (at + 4 > raw.size()) return -1;
  int unit = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const int digit = hex(raw[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&](std::uint32_t value) { out += static_cast<char>(value); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xc0 | code >> 6);
    byte(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    byte(0xe0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3f));
    byte(0x80 | (code & 0x3f));
  } else {
    byte(0xf0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3f));
    byte(0x80 | (code >> 6 & 0x3f));
    byte(0x80 | (code & 0x3f));
  }
}

}  // namespace

bool unescape(std::string_view raw, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    if (++i == raw.size()) return false;
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    if (const std::size_t simple = names.find(raw[i]); simple != std::string_view::npos) {
      out += meanings[simple];
      continue;
    }
    const int unit = raw[i] == 'u' ? code_unit(raw, i + 1) : -1;
    if (unit < 0) return false;
    i += 4;
    auto code = static_cast<std::uint32_t>(unit);
    if (code >= 0xd800 && code < 0xe000) {
      const bool paired = code < 0xdc00 && raw.substr(i + 1, 2) == "\\u";
      const int low = paired ? code_unit(raw, i + 3) : -1;
      if (low < 0xdc00 || low >= 0xe000) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (static_cast<std::uint32_t>(low) - 0xdc00);
      i += 6;
    }
    append_utf8(out, code);
  }
  return true;
}

std::string escape(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      out.append("\\u00").append({digits[byte >> 4], digits[byte & 15]});
    } else {
      out += c;
    }
  }
  return out;
}

void BodyScan::reset() {
  at_ = At::start;
  key_ = Key::other;
  escaped_ = false;
  depth_ = offset_ = 0;
  failure_ = nullptr;
  for (Named* named : {&model_, &name_}) {
    named->name.clear();
    named->place = {};
    named->seen = false;
  }
  stream_ = false;
  user_.clear();
  texts_ = 0;
}

BodyScan::State BodyScan::feed(std::string_view piece) {
  for (std::size_t i = 0; i < piece.size() && failure_ == nullptr;) i = step(piece, i);
  offset_ += piece.size();
  return state();
}

/// Looks at the byte at `i`, and at as many after it as belong together. Returns where to go on.
std::size_t BodyScan::step(std::string_view piece, std::size_t i) {
  const char c = piece[i];
  switch (at_) {
    case At::in_key:
    case At::in_string: {
      const std::size_t end = string_end(piece, i);
      keep(piece.substr(i, end - i));
      if (end == piece.size()) return end;
      if (at_ == At::in_key) {
        key_ = key_of();
        at_ = At::colon;
      } else {
        value_ended(offset_ + end + 1);
      }
      return end + 1;
    }
    case At::nested_string: {
      const std::size_t end = string_end(piece, i);
      if (end == piece.size()) return end;
      at_ = At::in_nested;
      return end + 1;
    }
    case At::in_nested: {
      std::size_t end = i;
      while (end < piece.size() && piece[end] != '"' && piece[end] != '{' && piece[end] != '[' && piece[end] != '}' &&
             piece[end] != ']') {
        ++end;
      }
      if (end == piece.size()) return end;
      if (piece[end] == '"') {
        at_ = At::nested_string;
      } else if (piece[end] == '{' || piece[end] == '[') {
        ++depth_;
      } else if (--depth_ == 0) {
        value_ended(offset_ + end + 1);
      }
      return end + 1;
    }
    case At::in_scalar:
      if (is_scalar(c)) {
        keep(piece.substr(i, 1));
        return i + 1;
      }
      value_ended(offset_ + i);
      return i;  // what ends a scalar is looked at anew
    default:
      break;
  }
  if (is_blank(c)) return i + 1;
  switch (at_) {
    case At::start:
      if (c != '{') fail("the body is no JSON object");
      at_ = At::first_key;
      break;
    case At::first_key:
    case At::key:
      if (c == '"') {
        at_ = At::in_key;
        captured_.clear();
        capture_limit_ = longest_key * bytes_per_escape;
        capture_cut_ = has_escapes_ = false;
      } else if (c == '}' && at_ == At::first_key) {
        at_ = At::end;
      } else {
        fail("the body is no valid JSON: a key was expected");
      }
      break;
    case At::colon:
      if (c != ':') fail("the body is no valid JSON: a colon was expected");
      at_ = At::value;
      break;
    case At::value:
      value_begins(c, offset_ + i);
      break;
    case At::comma:
      if (c == ',') {
        at_ = At::key;
      } else if (c == '}') {
        at_ = At::end;
      } else {
        fail("the body is no valid JSON: a comma was expected");
      }
      break;
    default:
      fail("the body goes on after its JSON object");
  }
  return i + 1;
}

/// Of the string that goes on at `i`: its closing quote, or the piece's end.
std::size_t BodyScan::string_end(std::string_view piece, std::size_t i) {
  while (i < piece.size()) {
    if (escaped_) {
      escaped_ = false;
      ++i;
      continue;
    }
    i = find_special(piece, i);
    if (i == piece.size() || piece[i] == '"') return i;
    escaped_ = has_escapes_ = true;
    ++i;
  }
  return i;
}

void BodyScan::keep(std::string_view bytes) {
  const std::size_t room = capture_limit_ - std::min(capture_limit_, captured_.size());
  if (bytes.size() > room) capture_cut_ = true;
  if (room > 0) captured_.append(bytes.substr(0, room));
}

BodyScan::Key BodyScan::key_of() {
  if (capture_cut_) return Key::other;
  if (has_escapes_) {
    std::string plain;
    if (!unescape(captured_, plain)) return Key::other;
    captured_ = std::move(plain);
  }
  if (captured_.size() == 5 && http::iequals(captured_, "model")) {
    if (model_.seen) {
      fail("the body names a model twice");
    } else if (captured_ == "model") {
      model_.seen = true;
      return Key::model;
    } else {
      fail("the key of the model is spelt `model`");
    }
    return Key::other;
  }
  if (captured_ == "name") {
    if (!name_.seen) {
      name_.seen = true;
      return Key::name;
    }
    name_.name.clear();  // of two, none
    return Key::other;
  }
  if (captured_ == "stream") return Key::stream;
  if (captured_ == "user") return Key::user;
  if (captured_ == "system" || captured_ == "prompt" || captured_ == "messages" || captured_ == "input") {
    return Key::text;
  }
  return Key::other;
}

void BodyScan::value_begins(char first, std::size_t at) {
  value_at_ = at;
  captured_.clear();
  capture_cut_ = has_escapes_ = false;
  capture_limit_ = 0;
  if (first == '"') {
    at_ = At::in_string;
    if (key_ == Key::model || key_ == Key::name) capture_limit_ = max_model_name;
    if (key_ == Key::user) capture_limit_ = max_user;
  } else if (key_ == Key::model) {
    fail("`model` is no string");
  } else if (first == '{' || first == '[') {
    at_ = At::in_nested;
    depth_ = 1;
  } else if (is_scalar(first)) {
    at_ = At::in_scalar;
    if (key_ == Key::stream) capture_limit_ = std::strlen("true") + 1;
    keep({&first, 1});
  } else {
    fail("the body is no valid JSON: a value was expected");
  }
}

/// `at` is the offset just behind the value.
void BodyScan::value_ended(std::size_t at) {
  const bool string = at_ == At::in_string;
  at_ = At::comma;
  if (key_ == Key::model || (key_ == Key::name && string)) {
    Named& named = key_ == Key::model ? model_ : name_;
    named.place = {value_at_ + 1, at - value_at_ - 2};
    const bool readable = !capture_cut_ && (has_escapes_ ? unescape(captured_, named.name) : true);
    if (readable && !has_escapes_) named.name = captured_;
    if (!readable && key_ == Key::model) fail("`model` is no name that a model can have");
    if (!readable) named.name.clear();
  } else if (key_ == Key::stream) {
    stream_ = captured_ == "true" && !string;
  } else if (key_ == Key::user && string) {
    user_ = captured_;
  } else if (key_ == Key::text && texts_ < text_.size()) {
    text_[texts_++] = {value_at_, at - value_at_};
  }
}

}  // namespace trireme::proxy
