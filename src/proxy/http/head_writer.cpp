// Heads into bytes, with the framing fields that their bodies need.
#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>

#include "proxy/http/codec.hpp"
#include "proxy/http/text.hpp"

namespace trireme::proxy::http {

using namespace std::string_view_literals;

namespace {

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  auto [end, ec] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(std::string_view(digits.data(), end));
}

void append_fields(std::string& out, const Headers& headers) {
  assert(std::all_of(headers.begin(), headers.end(), [](const Header& header) {
    return all(token_char, header.name) && all(value_char, header.value);
  }));
  out.append(headers.lines());
}

void append_length(std::string& out, std::uint64_t length) {
  out.append("Content-Length: "sv);
  append_number(out, length);
  out.append(crlf);
}

constexpr std::string_view chunked_field = "Transfer-Encoding: chunked\r\n";

}  // namespace

void append_head(std::string& out, const RequestHead& head, Body body) {
  out.append(head.method).append(" "sv).append(head.target).append(" HTTP/1.1\r\n"sv);
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
  out.append("HTTP/1.1 "sv);
  append_number(out, static_cast<std::uint64_t>(head.status));
  out.append(" "sv).append(head.reason.empty() ? reason_phrase(head.status) : head.reason);
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
