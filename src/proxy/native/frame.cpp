#include "proxy/native/frame.hpp"

#include <algorithm>

namespace trireme::proxy::native {

namespace {

bool fits(const http::Headers& headers) {
  if (headers.size() > 0xffff) return false;
  return std::all_of(headers.begin(), headers.end(),
                     [](const auto& h) { return h.name.size() <= 0xff && h.value.size() <= 0xffff; });
}

std::uint16_t count_of(const http::Headers& headers) {
  const auto counted = [](const auto& h) { return !is_framing(h.name); };
  return static_cast<std::uint16_t>(std::count_if(headers.begin(), headers.end(), counted));
}

void put_headers(std::string& out, const http::Headers& headers) {
  for (const http::Header header : headers) {
    if (!is_framing(header.name)) put_field(out, {header.name, header.value});
  }
}

http::Headers headers_of(Fields fields) {
  http::Headers headers;
  headers.reserve(fields.count(), fields.bytes().size() + fields.count() * std::size_t{4});
  Field field;
  while (fields.next(field)) headers.push_back({field.name, field.value});
  return headers;
}

std::uint64_t length_of(const http::Body& body) {
  if (body.kind == http::Body::Kind::none) return 0;
  return body.kind == http::Body::Kind::length ? body.length : unknown_length;
}

http::Body body_of(std::uint64_t length) {
  if (length == unknown_length) return {http::Body::Kind::chunked, 0};
  return {http::Body::Kind::length, length};
}

}  // namespace

std::optional<Request> read_request(std::string_view payload) {
  const auto view = view_request(payload);
  if (!view) return std::nullopt;
  Request request;
  request.head.method = view->method;
  request.head.target = view->target;
  request.head.headers = headers_of(view->headers);
  request.head.body = body_of(view->length);
  request.body = view->body;
  return request;
}

std::optional<Response> read_response(std::string_view payload) {
  const auto view = view_response(payload);
  if (!view) return std::nullopt;
  Response response;
  response.head.status = view->status;
  response.head.headers = headers_of(view->headers);
  response.head.body = body_of(view->length);
  response.body = view->body;
  return response;
}

bool append_request(std::string& out, std::uint64_t id, const http::RequestHead& head, std::string_view body,
                    bool end) {
  if (head.method.size() > 0xff || head.target.size() > 0xffff || !fits(head.headers)) return false;
  const std::size_t begin = out.size();
  begin_request(out, id, end, length_of(head.body), head.method, head.target, count_of(head.headers));
  put_headers(out, head.headers);
  out.append(body);
  return seal(out, begin);
}

bool append_response(std::string& out, std::uint64_t id, const http::ResponseHead& head, std::string_view body,
                     bool end) {
  if (!fits(head.headers)) return false;
  const std::size_t begin = out.size();
  begin_response(out, id, end, length_of(head.body), static_cast<std::uint16_t>(head.status), count_of(head.headers));
  put_headers(out, head.headers);
  out.append(body);
  return seal(out, begin);
}

}  // namespace trireme::proxy::native
