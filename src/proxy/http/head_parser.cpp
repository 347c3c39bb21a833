// Bytes into heads: request line or status line, then the fields, of which those about framing become the body's length.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/defaults.hpp"
#include "proxy/http/codec.hpp"
#include "proxy/http/text.hpp"

namespace trireme::proxy::http {

namespace {

constexpr std::string_view http_name = "HTTP/";

// Room for most heads, and for what the proxy adds to them.
constexpr std::size_t fields_expected = 12;
constexpr std::size_t bytes_added = 128;

/// "HTTP/1.1": its length, or 0.
constexpr std::size_t version_size = 8;
bool is_version(std::string_view text) {
  return text.size() == version_size && text.starts_with(http_name) && is_digit(text[5]) && text[6] == '.' &&
         is_digit(text[7]);
}

}  // namespace

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
    const std::string_view whole_line = lines.substr(0, end + 1);
    const std::string_view line = whole_line.substr(0, end - 1);
    lines.remove_prefix(end + 1);

    std::size_t colon = 0;
    while (colon < line.size() && is(token_char, line[colon])) ++colon;
    if (colon == line.size()) return fail(400, "a header line has no colon");
    if (colon == 0 || line[colon] != ':') {
      return fail(400, "a header's name is empty or holds a character that is not allowed there");
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    if (!all_value_chars(value)) return fail(400, "a header's value holds a control character");

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
    const bool as_kept = line.size() == colon + 2 + value.size() && line.size() > colon + 1 && line[colon + 1] == ' ';
    if (as_kept) {
      headers.push_line(whole_line, colon);
    } else {
      headers.push_back({name, value});
    }
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
  out.headers.reserve(fields_expected, head.size() + bytes_added);
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
  out.headers.reserve(fields_expected, head.size() + bytes_added);
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

}  // namespace trireme::proxy::http
