// Promises of the HTTP/1.1 codec: what it accepts, what it refuses and with which status, and that neither depends on how
// the bytes are cut.
#include "proxy/http/codec.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trireme::proxy::http;

namespace {

struct Parsed {
  HeadParser::State state = HeadParser::State::more;
  RequestHead head;
  std::size_t consumed = 0;
  HeadError error;
};

Parsed parse(std::string_view in) {
  HeadParser parser;
  Parsed out;
  out.state = parser.parse_request(in, out.head);
  out.consumed = parser.consumed();
  out.error = parser.error();
  return out;
}

int refused(std::string_view in) {
  const Parsed parsed = parse(in);
  return parsed.state == HeadParser::State::error ? parsed.error.status : 0;
}

ResponseHead response(std::string_view in) {
  HeadParser parser;
  ResponseHead head;
  REQUIRE_MESSAGE(parser.parse_response(in, head) == HeadParser::State::done, in);
  return head;
}

bool response_refused(std::string_view in) {
  HeadParser parser;
  ResponseHead head;
  return parser.parse_response(in, head) == HeadParser::State::error;
}

struct Decoded {
  std::string data;
  std::size_t consumed = 0;
  bool done = false;
  bool failed = false;
};

/// Decodes `in`, showing it in pieces of `step` bytes.
Decoded decode(Body body, std::string_view in, std::size_t step) {
  BodyDecoder decoder(body);
  Decoded out;
  std::size_t shown = 0;
  while (!decoder.done() && !decoder.failed()) {
    const auto [consumed, data] = decoder.next(in.substr(out.consumed, shown - out.consumed));
    out.data.append(data);
    out.consumed += consumed;
    if (consumed > 0) continue;
    if (shown == in.size()) break;
    shown = std::min(in.size(), shown + step);
  }
  out.done = decoder.done();
  out.failed = decoder.failed();
  return out;
}

const std::string host = "Host: localhost\r\n";

}  // namespace

TEST_CASE("a request head is read into its parts") {
  const std::string text =
      "POST /v1/chat?x=1 HTTP/1.1\r\nHost: h\r\ncontent-LENGTH: 12\r\nX-A:  b c \t\r\nEmpty:\r\n\r\nbody";
  const Parsed parsed = parse(text);
  REQUIRE(parsed.state == HeadParser::State::done);
  CHECK(parsed.consumed == text.size() - 4);
  CHECK(parsed.head.method == "POST");
  CHECK(parsed.head.target == "/v1/chat?x=1");
  CHECK(parsed.head.headers == Headers{{"Host", "h"}, {"X-A", "b c"}, {"Empty", ""}});
  CHECK(parsed.head.body == Body{Body::Kind::length, 12});
  CHECK(parsed.head.keep_alive);
  CHECK_FALSE(parsed.head.http10);
}

TEST_CASE("methods may be any token, and targets a path, a URL or the asterisk") {
  for (const char* line : {"PROPFIND / HTTP/1.1", "x-Y_z~1 /a HTTP/1.1", "OPTIONS * HTTP/1.1",
                           "GET http://h:80/p?q HTTP/1.1", "GET HTTPS://h HTTP/1.1"}) {
    CAPTURE(line);
    CHECK(parse(line + ("\r\n" + host) + "\r\n").state == HeadParser::State::done);
  }
  CHECK(origin_form("http://h:80/p?q") == "/p?q");
  CHECK(origin_form("http://h") == "/");
  CHECK(origin_form("/p") == "/p");
  CHECK(origin_form("*") == "*");
}

TEST_CASE("a connection is kept as the versions and Connection say") {
  auto keeps = [](const std::string& version, const std::string& connection) {
    const Parsed parsed = parse("GET / " + version + "\r\n" + host + connection + "\r\n");
    REQUIRE(parsed.state == HeadParser::State::done);
    CHECK_FALSE(find(parsed.head.headers, "Connection"));
    return parsed.head.keep_alive;
  };
  CHECK(keeps("HTTP/1.1", ""));
  CHECK_FALSE(keeps("HTTP/1.1", "Connection: close\r\n"));
  CHECK_FALSE(keeps("HTTP/1.1", "Connection: x, CLOSE\r\n"));
  CHECK_FALSE(keeps("HTTP/1.1", "Connection: x\r\nconnection: close\r\n"));
  CHECK_FALSE(keeps("HTTP/1.0", ""));
  CHECK(keeps("HTTP/1.0", "Connection: Keep-Alive\r\n"));
  CHECK_FALSE(keeps("HTTP/1.0", "Connection: keep-alive, close\r\n"));
}

TEST_CASE("what Connection names is for this hop only, but Host cannot be named away") {
  const Parsed parsed = parse("GET / HTTP/1.1\r\n" + host + "X-Hop: 1\r\nConnection: x-hop, host\r\nX-End: 2\r\n\r\n");
  REQUIRE(parsed.state == HeadParser::State::done);
  CHECK(parsed.head.headers == Headers{{"Host", "localhost"}, {"X-End", "2"}});

  Headers headers{{"TE", "x"},         {"Trailer", "x"},    {"Upgrade", "x"},
                  {"Keep-Alive", "x"}, {"Other", "x"},      {"proxy-connection", "x"},
                  {"A", "x"},          {"Connection", "a"}, {"Proxy-Authorization", "x"}};
  strip_hop_by_hop(headers);
  CHECK(headers == Headers{{"Other", "x"}});
}

TEST_CASE("Expect: 100-continue is understood, anything else expected is refused") {
  CHECK(parse("PUT / HTTP/1.1\r\n" + host + "Expect: 100-Continue\r\n\r\n").head.expect_continue);
  CHECK_FALSE(parse("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").head.expect_continue);
  CHECK(refused("PUT / HTTP/1.1\r\n" + host + "Expect: miracles\r\n\r\n") == 417);
}

TEST_CASE("what could be read in two ways, or is no HTTP, is refused") {
  struct Case {
    int status;
    std::string text;
  };
  const std::string get = "GET / HTTP/1.1\r\n" + host;
  const std::string post = "POST / HTTP/1.1\r\n" + host;
  const std::vector<Case> cases = {
      // Framing that two parsers may see differently.
      {400, post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {400, post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"},
      {400, post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"},
      {400, post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"},
      {400, post + "Content-Length: 3, 3\r\n\r\n"},
      {400, post + "Content-Length: +3\r\n\r\n"},
      {400, post + "Content-Length: -3\r\n\r\n"},
      {400, post + "Content-Length: 0x3\r\n\r\n"},
      {400, post + "Content-Length: 3 4\r\n\r\n"},
      {400, post + "Content-Length:\r\n\r\n"},
      {413, post + "Content-Length: 99999999999999999999999\r\n\r\n"},
      {413, post + "Content-Length: 9223372036854775808\r\n\r\n"},
      {501, post + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
      {501, post + "Transfer-Encoding: chunked, chunked\r\n\r\n"},
      {501, post + "Transfer-Encoding: identity\r\n\r\n"},
      {501, post + "Transfer-Encoding: xchunked\r\n\r\n"},
      {501, post + "Transfer-Encoding: \"chunked\"\r\n\r\n"},
      {501, post + "Transfer-Encoding:\r\n\r\n"},
      {400, post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      // Header lines.
      {400, post + "Content-Length : 3\r\n\r\n"},
      {400, post + "Transfer-Encoding\t: chunked\r\n\r\n"},
      {400, post + " Content-Length: 3\r\n\r\n"},
      {400, get + "A: b\r\n c\r\n\r\n"},
      {400, get + "A: b\r\n\tc\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\n Host: h\r\n\r\n"},
      {400, get + "A\r\n\r\n"},
      {400, get + ": b\r\n\r\n"},
      {400, get + "A(: b\r\n\r\n"},
      {400, get + "A: b\nB: c\r\n\r\n"},
      {400, get + "A: b\rB: c\r\n\r\n"},
      {400, get + std::string("A: b\0c\r\n\r\n", 10)},
      {400, get + "A: b\x01\r\n\r\n"},
      {400, get + "A: b\x7f\r\n\r\n"},
      {400, get + "\n"},
      {400, "GET / HTTP/1.1\n" + host + "\r\n"},
      // Host.
      {400, "GET / HTTP/1.1\r\n\r\n"},
      {400, get + "Host: other\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
      {400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"},
      // The request line.
      {400, "GET /\r\n" + host + "\r\n"},
      {400, "GET / HTTP/1.1 \r\n" + host + "\r\n"},
      {400, "GET  / HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET / x HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET\t/ HTTP/1.1\r\n" + host + "\r\n"},
      {400, "G(T / HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET /\x01 HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET /\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET path HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET * HTTP/1.1\r\n" + host + "\r\n"},
      {400, "GET / http/1.1\r\n" + host + "\r\n"},
      {400, "GET / HTTP/1.1x\r\n" + host + "\r\n"},
      {400, " GET / HTTP/1.1\r\n" + host + "\r\n"},
      {400, "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n"},
      {400, "\x16\x03\x01\x02"},  // a TLS client
      {501, "CONNECT h:1 HTTP/1.1\r\n" + host + "\r\n"},
      {505, "GET / HTTP/2.0\r\n" + host + "\r\n"},
      {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {505, "GET / HTTP/1.2\r\n" + host + "\r\n"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(refused(c.text) == c.status);
  }
}

TEST_CASE("a head is at most 64 KiB and 128 headers") {
  CHECK(refused("GET /" + std::string(70'000, 'a')) == 414);
  CHECK(refused("GET / HTTP/1.1\r\n" + host + "A: " + std::string(70'000, 'a')) == 431);
  const std::string large = "GET / HTTP/1.1\r\n" + host + "A: " + std::string(60'000, 'a') + "\r\n\r\n";
  CHECK(parse(large).state == HeadParser::State::done);

  auto with_headers = [](int count) {
    std::string text = "GET / HTTP/1.1\r\n" + host;
    for (int i = 1; i < count; ++i) text += "A: b\r\n";
    return text + "\r\n";
  };
  CHECK(parse(with_headers(128)).state == HeadParser::State::done);
  CHECK(refused(with_headers(129)) == 431);
}

TEST_CASE("a head reads the same however its bytes arrive") {
  for (const std::string& text :
       std::vector<std::string>{"\r\nPOST /p HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nX: y\r\n\r\n",
                                "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}) {
    const Parsed whole = parse(text);
    REQUIRE(whole.state == HeadParser::State::done);
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
      HeadParser parser;
      RequestHead head;
      REQUIRE(parser.parse_request(std::string_view(text).substr(0, cut), head) == HeadParser::State::more);
      REQUIRE(parser.parse_request(text, head) == HeadParser::State::done);
      REQUIRE(head == whole.head);
      REQUIRE(parser.consumed() == whole.consumed);
    }
    HeadParser parser;
    RequestHead head;
    for (std::size_t size = 0; size < text.size(); ++size) {
      REQUIRE(parser.parse_request(std::string_view(text).substr(0, size), head) == HeadParser::State::more);
    }
    REQUIRE(parser.parse_request(text, head) == HeadParser::State::done);
    REQUIRE(head == whole.head);
  }
}

TEST_CASE("a response head says how its body ends") {
  using Kind = Body::Kind;
  const ResponseHead sized = response("HTTP/1.1 200 All Right\r\nContent-Length: 5\r\nA: b\r\n\r\n");
  CHECK(sized.status == 200);
  CHECK(sized.reason == "All Right");
  CHECK(sized.headers == Headers{{"A", "b"}});
  CHECK(sized.body == Body{Kind::length, 5});
  CHECK(sized.keep_alive);

  CHECK(response("HTTP/1.1 200\r\n\r\n").body.kind == Kind::until_close);
  CHECK(response("HTTP/1.1 404 \r\nTransfer-Encoding: Chunked\r\n\r\n").body.kind == Kind::chunked);
  CHECK(response("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n").body.kind == Kind::none);
  CHECK(response("HTTP/1.1 100 Continue\r\n\r\n").body.kind == Kind::none);
  CHECK_FALSE(response("HTTP/1.0 200 OK\r\n\r\n").keep_alive);

  // What a head announces and what follows it are two things.
  CHECK(follows(sized, "GET") == sized.body);
  CHECK(follows(sized, "HEAD").kind == Kind::none);
  const ResponseHead unmodified = response("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n");
  CHECK(unmodified.body == Body{Kind::length, 5});
  CHECK(follows(unmodified, "GET").kind == Kind::none);

  for (const char* text : {"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n",
                           "HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1200 OK\r\n\r\n", "hello",
                           "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 O\x01K\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    CAPTURE(text);
    CHECK(response_refused(text));
  }
}

TEST_CASE("heads are written with the framing that their body needs") {
  std::string out;
  append_head(out, RequestHead{.method = "POST", .target = "/a", .headers = {{"Host", "h"}}}, {Body::Kind::length, 3});
  CHECK(out == "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
  out.clear();
  append_head(out, RequestHead{.method = "POST", .target = "/a"}, {Body::Kind::none, 0});
  CHECK(out == "POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  out.clear();
  append_head(out, RequestHead{.method = "GET", .target = "/a"}, {Body::Kind::chunked, 0});
  CHECK(out == "GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");

  auto written = [](ResponseHead head, std::string_view method, bool http10) {
    std::string text;
    append_head(text, head, method, http10);
    return text;
  };
  ResponseHead head{.status = 200, .headers = {{"A", "b"}}, .body = {Body::Kind::chunked, 0}};
  CHECK(written(head, "GET", false) == "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(written(head, "HEAD", false) == "HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
  head.body = {};
  CHECK(written(head, "GET", false) == "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n");
  CHECK(written(head, "GET", true) == "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  head.keep_alive = false;
  head.body = {Body::Kind::length, 9};
  CHECK(written(head, "HEAD", false) == "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 9\r\nConnection: close\r\n\r\n");
  head.status = 204;
  CHECK(written(head, "GET", false) == "HTTP/1.1 204 No Content\r\nA: b\r\nConnection: close\r\n\r\n");
}

TEST_CASE("a chunked body is unframed, with its extensions and trailers, wherever it is cut") {
  const std::string body =
      "5\r\nhello\r\n00006;a=b;c=\"d\"\r\n world\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0;last\r\n"
      "Trailer: x\r\nOther:\r\n\r\n";
  for (std::size_t step = 1; step <= body.size(); ++step) {
    const Decoded decoded = decode({Body::Kind::chunked, 0}, body + "NEXT", step);
    REQUIRE(decoded.done);
    REQUIRE(decoded.data == "hello worldabcdefghijklmnopqrstuvwxyz");
    REQUIRE(decoded.consumed == body.size());
  }
  for (std::size_t cut = 0; cut < body.size(); ++cut) {
    const Decoded decoded = decode({Body::Kind::chunked, 0}, body.substr(0, cut), body.size());
    REQUIRE_FALSE(decoded.done);
    REQUIRE_FALSE(decoded.failed);
  }
}

TEST_CASE("broken chunks are refused") {
  for (const char* body : {"x\r\n",
                           "\r\n",
                           ";a\r\n",
                           "-5\r\n",
                           "+5\r\n",
                           " 5\r\n",
                           "5 \r\n",
                           "0x5\r\n",
                           "5\n",
                           "5\rhello",
                           "5\r\nhelloX\r\n",
                           "5\r\nhello\n",
                           "5\r\nhello\rX",
                           "5;a\x01\r\n",
                           "5;a\nb\r\n",
                           "8000000000000000\r\n",
                           "10000000000000000\r\n",
                           "0\r\nA\r\n\r\n",
                           "0\r\n: b\r\n\r\n",
                           "0\r\nA : b\r\n\r\n",
                           "0\r\n b\r\n\r\n",
                           "0\r\nA: b\n\r\n",
                           "0\r\nA: b\r\n\n",
                           "0\r\n\n"}) {
    CAPTURE(body);
    CHECK(decode({Body::Kind::chunked, 0}, body, 1).failed);
    CHECK(decode({Body::Kind::chunked, 0}, body, 1000).failed);
  }
  CHECK(decode({Body::Kind::chunked, 0}, "5;" + std::string(5000, 'a'), 1000).failed);
}

TEST_CASE("bodies of known length and bodies until the end of the connection") {
  const Decoded sized = decode({Body::Kind::length, 5}, "helloNEXT", 2);
  CHECK(sized.done);
  CHECK(sized.data == "hello");
  CHECK(sized.consumed == 5);
  CHECK(decode({Body::Kind::length, 0}, "NEXT", 2).done);

  BodyDecoder decoder({Body::Kind::until_close, 0});
  CHECK(decoder.next("abc").data == "abc");
  CHECK_FALSE(decoder.done());
  CHECK(decoder.at_eof());
  BodyDecoder cut({Body::Kind::length, 5});
  CHECK(cut.next("abc").data == "abc");
  CHECK_FALSE(cut.at_eof());
}

TEST_CASE("what the encoder writes the decoder reads") {
  std::string framed;
  for (std::size_t size : {1u, 15u, 16u, 255u, 4096u, 100'000u}) {
    append_chunk_size(framed, size);
    framed.append(std::string(size, 'x')).append(crlf);
  }
  framed.append(last_chunk);
  const Decoded decoded = decode({Body::Kind::chunked, 0}, framed, 1000);
  CHECK(decoded.done);
  CHECK(decoded.data == std::string(1 + 15 + 16 + 255 + 4096 + 100'000, 'x'));
}

TEST_CASE("a control character in a value is refused wherever it is") {
  const std::string plain = "0123456789abcdefghijk";
  for (std::size_t at = 0; at < plain.size(); ++at) {
    const auto with = [&](char c) {
      std::string value = plain;
      value[at] = c;
      return "GET / HTTP/1.1\r\nHost: h\r\nA: " + value + "\r\n\r\n";
    };
    for (char c : {'\x01', '\x08', '\x1f', '\x7f'}) CHECK(refused(with(c)) == 400);
    const auto taken = [&](char c) { return parse(with(c)).state == HeadParser::State::done; };
    for (char c : {'\t', ' ', '\x7e', '\x80', '\xff'}) CHECK(taken(c));
  }
}

TEST_CASE("headers are kept as the lines that will be written") {
  const Headers parsed =
      parse("GET / HTTP/1.1\r\nHost: h\r\nA:b\r\nC:   d \r\nE:\tf\r\nG:\r\nI: \r\n\r\n").head.headers;
  CHECK(parsed.lines() == "Host: h\r\nA: b\r\nC: d\r\nE: f\r\nG: \r\nI: \r\n");
  CHECK(parsed == Headers{{"Host", "h"}, {"A", "b"}, {"C", "d"}, {"E", "f"}, {"G", ""}, {"I", ""}});

  Headers fewer = parsed;
  fewer.erase_if(
      [](const Header& header) { return header.name == "Host" || header.value.empty() || header.name == "C"; });
  CHECK(fewer.lines() == "A: b\r\nE: f\r\n");
  CHECK(fewer == Headers{{"A", "b"}, {"E", "f"}});
  fewer.push_back({"K", "l"});
  CHECK(find(fewer, "k") == "l");
  CHECK(fewer.size() == 3);
}

TEST_CASE("headers are found, replaced and erased without regard to case") {
  Headers headers{{"A", "1"}, {"b", "2"}, {"a", "3"}};
  CHECK(find(headers, "a") == "1");
  CHECK_FALSE(find(headers, "c"));
  set(headers, "B", "4");
  CHECK(headers == Headers{{"A", "1"}, {"a", "3"}, {"B", "4"}});
  erase(headers, std::string_view("a"));
  CHECK(headers == Headers{{"B", "4"}});
}
