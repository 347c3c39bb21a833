#include "proxy/native/frame.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace trireme::proxy;
using namespace trireme::proxy::native;

namespace {

http::RequestHead some_request() {
  http::RequestHead head;
  head.method = "POST";
  head.target = "/services/noop/x?y=1";
  head.headers = {{"Content-Type", "application/json"}, {"X-Session-Id", ""}};
  head.body = {http::Body::Kind::length, 5};
  return head;
}

Frame whole(std::string_view bytes) {
  Frame frame;
  std::size_t consumed = 0;
  REQUIRE(parse(bytes, frame, consumed) == Parsed::done);
  CHECK(consumed == bytes.size());
  return frame;
}

}  // namespace

TEST_CASE("native frames: what is written is read again") {
  std::string out;
  REQUIRE(append_request(out, 7, some_request(), "hello", true));
  const Frame frame = whole(out);
  CHECK(frame.type == Type::request);
  CHECK(frame.end);
  CHECK(frame.id == 7);
  const auto request = read_request(frame.payload);
  REQUIRE(request);
  CHECK(request->head == some_request());
  CHECK(request->body == "hello");

  http::ResponseHead head;
  head.status = 429;
  head.headers = {{"Retry-After", "2"}};
  head.body = {http::Body::Kind::chunked, 0};
  out.clear();
  REQUIRE(append_response(out, 9, head, "part", false));
  const auto response = read_response(whole(out).payload);
  REQUIRE(response);
  CHECK(response->head == head);
  CHECK(response->body == "part");

  out.clear();
  append_hello(out, {.version = 3, .token = "secret"});
  const auto hello = read_hello(whole(out).payload);
  REQUIRE(hello);
  CHECK(hello->version == 3);
  CHECK(hello->token == "secret");
  out.clear();
  append_window(out, 1, 4096);
  CHECK(read_window(whole(out).payload) == 4096);
}

TEST_CASE("native frames: a frame that is cut short anywhere is waited for, and a head that is cut short is refused") {
  std::string out;
  REQUIRE(append_request(out, 7, some_request(), "", true));
  for (std::size_t size = 0; size < out.size(); ++size) {
    Frame frame;
    std::size_t consumed = 0;
    CHECK(parse(std::string_view(out).substr(0, size), frame, consumed) == Parsed::more);
  }
  const std::string_view payload = std::string_view(out).substr(header_bytes);
  for (std::size_t size = 0; size < payload.size(); ++size) CHECK_FALSE(read_request(payload.substr(0, size)));
}

TEST_CASE("native frames: a header that promises too much, or says what nobody knows, is refused before its payload") {
  std::string good;
  append(good, {.type = Type::data, .end = false, .id = 1, .payload = ""});
  Frame frame;
  std::size_t consumed = 0;
  for (const auto& [at, byte] : {std::pair{3, '\1'}, {4, '\0'}, {4, '\x9'}, {5, '\2'}, {6, '\1'}}) {
    std::string bad = good;
    bad[static_cast<std::size_t>(at)] = byte;
    CHECK(parse(bad, frame, consumed) == Parsed::bad);
  }
}

TEST_CASE("native frames: no head smuggles a line or framing into HTTP") {
  for (const http::Header& header : {http::Header{"X-A", "1\r\nX-B: 2"},
                                     {"X A", "1"},
                                     {"", "1"},
                                     {"X-A:", "1"},
                                     {"X-A", std::string_view("\0", 1)}}) {
    http::RequestHead head = some_request();
    head.headers = {header};
    std::string out;
    REQUIRE(append_request(out, 1, head, "", true));
    CHECK_FALSE(read_request(std::string_view(out).substr(header_bytes)));
  }
  for (const char* target : {"x", "", "/a b", "/a\r\nb"}) {
    http::RequestHead head = some_request();
    head.target = target;
    std::string out;
    REQUIRE(append_request(out, 1, head, "", true));
    CHECK_FALSE(read_request(std::string_view(out).substr(header_bytes)));
  }
  http::RequestHead head = some_request();
  head.headers = {{"Transfer-Encoding", "chunked"}, {"content-length", "3"}};
  std::string out;
  REQUIRE(append_request(out, 1, head, "", true));
  const auto request = read_request(std::string_view(out).substr(header_bytes));
  REQUIRE(request);
  CHECK(request->head.headers.empty());
}

TEST_CASE("native frames: a head that fits no frame is not written, and a long body is cut into frames") {
  http::RequestHead head = some_request();
  head.headers = {{"X-Long", std::string(0x10000, 'x')}};
  std::string out;
  CHECK_FALSE(append_request(out, 1, head, "", true));
  CHECK_FALSE(append_request(out, 1, some_request(), std::string(max_payload, 'x'), true));
  CHECK(out.empty());
  append_data(out, 1, std::string(max_payload + 1, 'x'), true);
  Frame frame;
  std::size_t consumed = 0;
  REQUIRE(parse(out, frame, consumed) == Parsed::done);
  CHECK(frame.payload.size() == max_payload);
  CHECK_FALSE(frame.end);
  const Frame last = whole(std::string_view(out).substr(consumed));
  CHECK(last.payload == "x");
  CHECK(last.end);
}
