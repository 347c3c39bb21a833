#include "proxy/http/codec.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstring>

#include "core/defaults.hpp"

namespace trireme::proxy::http {

namespace {

enum : std::uint8_t { token_char = 1, value_char = 2, target_char = 4 };

constexpr std::array<std::uint8_t, 256> char_classes = [] {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) classes[c] |= value_char;
    if (c > 0x20 && c < 0x7f) classes[c] |= target_char;
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
      classes[c] |= token_char;
    }
  }
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) {
    classes[static_cast<unsigned char>(c)] |= token_char;
  }
  return classes;
}();

bool is(std::uint8_t wanted, char c) {
  return (char_classes[static_cast<unsigned char>(c)] & wanted) != 0;
}

bool all(std::uint8_t wanted, std::string_view text) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return is(wanted, c); });
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trim(std::string_view text) {
  auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Calls `each` with the elements of a comma-separated list.
template <typename F>
void for_each_element(std::string_view list, F&& each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trim(list.substr(0, comma));
    if (!element.empty()) each(element);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
}

bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

void remove_named(Headers& headers, std::string_view connection) {
  for_each_element(connection, [&](std::string_view name) {
    // A client must not be able to take these from the next hop by naming them.
    if (!iequals(name, "Host") && !iequals(name, "Content-Type")) erase(headers, name);
  });
}

constexpr std::string_view http_name = "HTTP/";

/// "HTTP/1.1": its length, or 0.
constexpr std::size_t version_size = 8;
bool is_version(std::string_view text) {
  return text.size() == version_size && text.starts_with(http_name) && is_digit(text[5]) && text[6] == '.' &&
         is_digit(text[7]);
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  auto [end, ec] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), end);
}

void append_fields(std::string& out, const Headers& headers) {
  for (const Header& header : headers) {
    assert(all(token_char, header.name) && all(value_char, header.value));
    out.append(header.name).append(": ").append(header.value).append(crlf);
  }
}

void append_length(std::string& out, std::uint64_t length) {
  out.append("Content-Length: ");
  append_number(out, length);
  out.append(crlf);
}

constexpr std::string_view chunked_field = "Transfer-Encoding: chunked\r\n";

bool never_has_body(int status) {
  return status < 200 || status == 204;
}

}  // namespace

// ---- Heads --------------------------------------------------------------------------------------

HeadParser::State HeadParser::fail(int status, std::string_view what) {
  error_ = {status, what};
  return State::error;
}

HeadParser::State HeadParser::find_end(std::string_view in) {
  const std::string_view head = in.substr(0, defaults::http_head_bytes);
  for (;;) {
    const auto* from = head.data() + scanned_;
    const auto* newline = static_cast<const char*>(std::memchr(from, '\n', head.size() - scanned_));
    if (newline == nullptr) {
      if (in.size() < defaults::http_head_bytes) return State::more;
      return lines_ == 0 ? fail(414, "the request line is too long") : fail(431, "the head is larger than 64 KiB");
    }
    const auto end = static_cast<std::size_t>(newline - head.data());
    if (end == scanned_ || head[end - 1] != '\r') {
      return fail(400, "a line of the head does not end with CR LF");
    }
    const bool empty = end == scanned_ + 1;
    scanned_ = end + 1;
    if (!empty) {
      if (++lines_ > defaults::http_headers + 1) return fail(431, "the head has too many headers");
    } else if (lines_ == 0 && start_ == 0) {
      start_ = scanned_;  // one empty line before a request is a known fault of old clients
    } else if (lines_ == 0) {
      return fail(400, "there are empty lines in place of a request line");
    } else {
      consumed_ = scanned_;
      return State::done;
    }
  }
}

HeadParser::State HeadParser::parse_fields(std::string_view lines, Headers& headers, bool request, bool http10) {
  std::string_view connection;
  std::string joined_connection;
  bool has_length = false;
  bool has_coding = false;
  bool close = false;
  bool keep = false;

  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end - 1);
    lines.remove_prefix(end + 1);

    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return fail(400, "a header line has no colon");
    const std::string_view name = line.substr(0, colon);
    if (name.empty() || !all(token_char, name)) {
      return fail(400, "a header's name is empty or holds a character that is not allowed there");
    }
    const std::string_view value = trim(line.substr(colon + 1));
    if (!all(value_char, value)) return fail(400, "a header's value holds a control character");

    switch (name.size()) {
      case 4:
        if (request && iequals(name, "Host")) {
          if (++hosts_ > 1) return fail(400, "there is more than one Host");
          if (value.find_first_of(" \t,") != std::string_view::npos) {
            return fail(400, "the Host is not a host");
          }
        }
        break;
      case 6:
        if (request && iequals(name, "Expect")) {
          if (!iequals(value, "100-continue")) return fail(417, "only 100-continue can be expected");
          expect_continue_ = !http10;
          continue;
        }
        break;
      case 10:
        if (iequals(name, "Connection")) {
          bool tokens = true;
          for_each_element(value, [&](std::string_view option) {
            tokens = tokens && all(token_char, option);
            close = close || iequals(option, "close");
            keep = keep || iequals(option, "keep-alive");
          });
          if (!tokens) return fail(400, "Connection is no list of names");
          if (connection.empty()) {
            connection = value;
          } else {
            joined_connection = std::string(connection).append(",").append(value);
            connection = joined_connection;
          }
          continue;
        }
        if (iequals(name, "Keep-Alive")) continue;
        break;
      case 14:
        if (iequals(name, "Content-Length")) {
          if (has_length) return fail(400, "there is more than one Content-Length");
          has_length = true;
          if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit)) {
            return fail(400, "the Content-Length is not a number");
          }
          const auto parsed = std::from_chars(value.data(), value.data() + value.size(), body_.length);
          if (parsed.ec != std::errc{} || body_.length > INT64_MAX) {
            return fail(413, "the Content-Length is beyond all bounds");
          }
          continue;
        }
        break;
      case 17:
        if (iequals(name, "Transfer-Encoding")) {
          if (has_coding) return fail(400, "there is more than one Transfer-Encoding");
          has_coding = true;
          if (!iequals(value, "chunked")) {
            return fail(501, "chunked is the only transfer coding that is understood");
          }
          continue;
        }
        break;
      default:
        break;
    }
    headers.push_back({std::string(name), std::string(value)});
  }

  if (has_length && has_coding) {
    return fail(400, "there are both Content-Length and Transfer-Encoding");
  }
  if (has_coding && http10) return fail(400, "HTTP/1.0 has no Transfer-Encoding");
  if (has_length) body_.kind = Body::Kind::length;
  if (has_coding) body_.kind = Body::Kind::chunked;
  keep_alive_ = !close && (keep || !http10);
  if (!connection.empty()) remove_named(headers, connection);
  return State::done;
}

HeadParser::State HeadParser::parse_request(std::string_view in, RequestHead& out) {
  if (!in.empty() && in[0] != '\r' && !is(token_char, in[0])) {
    return fail(400, "this is no HTTP request");
  }
  if (const State state = find_end(in); state != State::done) return state;

  const std::string_view head = in.substr(start_, consumed_ - start_);
  const std::size_t line_end = head.find('\r');
  const std::string_view line = head.substr(0, line_end);
  if (head[line_end + 1] != '\n') return fail(400, "a line of the head holds a lone CR");

  const std::size_t method_end = line.find(' ');
  if (method_end == std::string_view::npos || method_end == 0) {
    return fail(400, "the request line is not: method, target, version");
  }
  const std::string_view method = line.substr(0, method_end);
  const std::string_view rest = line.substr(method_end + 1);
  const std::size_t target_end = rest.find(' ');
  if (!all(token_char, method) || target_end == std::string_view::npos) {
    return fail(400, "the request line is not: method, target, version");
  }
  const std::string_view target = rest.substr(0, target_end);
  const std::string_view version = rest.substr(target_end + 1);
  if (!is_version(version)) return fail(400, "the request line does not end with an HTTP version");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return fail(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  }
  if (method == "CONNECT") return fail(501, "CONNECT is not offered");
  if (target.empty() || !all(target_char, target)) {
    return fail(400, "the target holds a character that is not allowed there");
  }
  const bool fits = target[0] == '/' || (target == "*" && method == "OPTIONS") || istarts_with(target, "http://") ||
                    istarts_with(target, "https://");
  if (!fits) return fail(400, "the target is no path");

  out.headers.clear();
  out.headers.reserve(12);
  out.http10 = version == "HTTP/1.0";
  const std::string_view fields = head.substr(line_end + 2, head.size() - line_end - 2 - crlf.size());
  if (const State state = parse_fields(fields, out.headers, true, out.http10); state != State::done) {
    return state;
  }
  if (hosts_ == 0 && !out.http10) return fail(400, "there is no Host");

  out.method = method;
  out.target = target;
  out.body = body_;
  out.keep_alive = keep_alive_;
  out.expect_continue = expect_continue_;
  return State::done;
}

HeadParser::State HeadParser::parse_response(std::string_view in, ResponseHead& out) {
  if (!http_name.starts_with(in.substr(0, http_name.size()))) {
    return fail(400, "this is no HTTP response");
  }
  if (const State state = find_end(in); state != State::done) return state;

  const std::string_view head = in.substr(0, consumed_);
  const std::size_t line_end = head.find('\n') - 1;
  const std::string_view line = head.substr(0, line_end);
  // "HTTP/1.1 200 OK"; the reason, and with some servers the space before it, may be missing.
  if (line.size() < version_size + 4 || !is_version(line.substr(0, version_size)) || line[version_size] != ' ') {
    return fail(400, "the status line is not: version, status, reason");
  }
  const bool http10 = line.starts_with("HTTP/1.0");
  if (!http10 && !line.starts_with("HTTP/1.1")) return fail(505, "the version is not HTTP/1");
  const std::string_view status = line.substr(version_size + 1, 3);
  const std::string_view rest = line.substr(version_size + 4);
  if (!std::all_of(status.begin(), status.end(), is_digit) || status[0] < '1' || status[0] > '5' ||
      (!rest.empty() && rest[0] != ' ') || !all(value_char, rest)) {
    return fail(400, "the status line is not: version, status, reason");
  }

  out.headers.clear();
  out.headers.reserve(12);
  const std::string_view fields = head.substr(line_end + 2, head.size() - line_end - 2 - crlf.size());
  if (const State state = parse_fields(fields, out.headers, false, http10); state != State::done) {
    return state;
  }
  std::from_chars(status.data(), status.data() + status.size(), out.status);
  out.reason = rest.empty() ? rest : rest.substr(1);
  if (never_has_body(out.status)) {
    body_ = {};
  } else if (body_.kind == Body::Kind::none && out.status != 304) {
    body_.kind = Body::Kind::until_close;
  }
  out.body = body_;
  out.keep_alive = keep_alive_;
  return State::done;
}

Body follows(const ResponseHead& head, std::string_view request_method) {
  const bool none = never_has_body(head.status) || head.status == 304 || request_method == "HEAD";
  return none ? Body{} : head.body;
}

void append_head(std::string& out, const RequestHead& head, Body body) {
  out.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  append_fields(out, head.headers);
  switch (body.kind) {
    case Body::Kind::length:
      append_length(out, body.length);
      break;
    case Body::Kind::chunked:
      out.append(chunked_field);
      break;
    case Body::Kind::none:
    case Body::Kind::until_close:  // no request ends so
      // Servers wait for the length of these three.
      if (head.method == "POST" || head.method == "PUT" || head.method == "PATCH") {
        append_length(out, 0);
      }
      break;
  }
  out.append(crlf);
}

void append_head(std::string& out, const ResponseHead& head, std::string_view method, bool http10) {
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::uint64_t>(head.status));
  out.append(" ").append(head.reason.empty() ? reason_phrase(head.status) : head.reason);
  out.append(crlf);
  append_fields(out, head.headers);

  const bool no_body = follows(head, method).kind == Body::Kind::none;
  if (!never_has_body(head.status)) {
    switch (head.body.kind) {
      case Body::Kind::none:
        if (!(no_body && (method == "HEAD" || head.status == 304))) append_length(out, 0);
        break;
      case Body::Kind::length:
        append_length(out, head.body.length);
        break;
      case Body::Kind::chunked:
        if (!no_body && !http10) out.append(chunked_field);
        break;
      case Body::Kind::until_close:
        break;
    }
  }
  if (!head.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (http10) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append(crlf);
}

// ---- Bodies -------------------------------------------------------------------------------------

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

// ---- Odds and ends ------------------------------------------------------------------------------

void strip_hop_by_hop(Headers& headers) {
  if (const auto connection = find(headers, "Connection")) {
    remove_named(headers, std::string(*connection));
  }
  std::erase_if(headers, [](const Header& header) {
    const std::string_view name = header.name;
    switch (name.size()) {
      case 2:
        return iequals(name, "TE");
      case 7:
        return iequals(name, "Trailer") || iequals(name, "Upgrade");
      case 10:
        return iequals(name, "Connection") || iequals(name, "Keep-Alive");
      default:
        return istarts_with(name, "Proxy-");
    }
  });
}

std::string_view origin_form(std::string_view target) {
  if (target.starts_with('/') || target == "*") return target;
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return target;
  const std::size_t path = target.find_first_of("/?", scheme + 3);
  if (path == std::string_view::npos) return "/";
  return target.substr(path);
}

std::string_view reason_phrase(int status) {
  switch (status) {
    // clang-format off
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
      // clang-format on
  }
}

}  // namespace trireme::proxy::http
