#include "proxy/front/body_scan.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace trireme::proxy;
using State = BodyScan::State;

namespace {

BodyScan scan(std::string_view body) {
  BodyScan scan;
  scan.feed(body);
  return scan;
}

std::vector<std::string> texts(const BodyScan& scan, std::string_view body) {
  std::vector<std::string> out;
  for (const auto& place : scan.text()) out.emplace_back(body.substr(place.begin, place.size));
  return out;
}

}  // namespace

TEST_CASE("body scan: the model, the stream, the user and where the text stands") {
  const std::string_view body =
      R"( {"messages": [{"role":"user","content":"say \"model\": {}"}], "stream" : true,"user":"u 1", "model":"llama-3"} )";
  const BodyScan found = scan(body);
  REQUIRE(found.state() == State::complete);
  CHECK(found.model() == "llama-3");
  CHECK(body.substr(found.model_place().begin, found.model_place().size) == "llama-3");
  CHECK(found.stream());
  CHECK(found.user() == "u 1");
  CHECK(texts(found, body) == std::vector<std::string>{R"([{"role":"user","content":"say \"model\": {}"}])"});
}

TEST_CASE("body scan: only the outermost object counts") {
  CHECK(scan(R"({"a":{"model":"x"},"b":[{"model":"y"}]})").model().empty());
  CHECK(scan(R"({"a":"\"model\":\"x\"","model":"y"})").model() == "y");
  CHECK(scan(R"({"a":"}","b":["]}"],"model":"y"})").model() == "y");
  CHECK(scan("{}").state() == State::complete);
  CHECK(scan("{}").model().empty());
}

TEST_CASE("body scan: names are read as JSON reads them") {
  CHECK(scan(R"({"mod\u0065l":"a\/b\u00e9\ud83d\ude00\\\"\n"})").model() == "a/b\xc3\xa9\xf0\x9f\x98\x80\\\"\n");
  CHECK(scan(R"({"model":"x","name":"y"})").name() == "y");
  CHECK(scan(R"({"model":"","stream":false})").model().empty());
  CHECK_FALSE(scan(R"({"model":"m","stream":"true"})").stream());
  CHECK_FALSE(scan(R"({"model":"m","stream":null})").stream());
  CHECK(scan(R"({"user":{"id":"x"},"model":"m"})").user().empty());
  for (const auto* text : {"plain", "q\"b\\n\nt\te\x01", "\xc3\xa9"}) {
    std::string back;
    CHECK(unescape(escape(text), back));
    CHECK(back == text);
    CHECK(nlohmann::json::parse("\"" + escape(text) + "\"") == text);
  }
}

TEST_CASE("body scan: where two readers could disagree, it fails") {
  for (const std::string_view body : {
           R"({"model":"a","model":"b"})",       // which of the two?
           R"({"model":"a","mod\u0065l":"a"})",  // the same, escaped
           R"({"model":"a","Model":"b"})",       // some servers ignore case
           R"({"MODEL":"a"})",                   //
           R"({"model":["a"]})",                 //
           R"({"model":null})",                  //
           R"({"model":"\ud83d"})",              // half a character
           R"({"model":"\x"})",                  //
           R"([{"model":"a"}])",                 // no object
           R"("model")",                         //
           "\xef\xbb\xbf{\"model\":\"a\"}",      // a byte-order mark
           R"({"model":"a"}{"model":"b"})",      // more than one document
           R"({"model":"a"} x)",                 //
           R"({"a":1,})",                        //
           R"({"a" "b"})",                       //
           R"({"a":1 "model":"x"})",             //
           R"({"a":tru"model":"x"})",            //
           R"({,"model":"x"})",                  //
           R"({'model':'x'})",                   //
           R"({"a":,"model":"x"})",              //
       }) {
    CHECK_MESSAGE(scan(body).state() == State::failed, body);
    CHECK_FALSE(scan(body).failure().empty());
  }
  CHECK(scan("{\"model\":\"" + std::string(BodyScan::max_model_name + 1, 'a') + "\"}").state() == State::failed);
  CHECK(scan(R"({"model":"a")").state() == State::reading);
  CHECK(scan("").state() == State::reading);
}

TEST_CASE("body scan: any chunking finds the same") {
  const std::string body =
      R"({"x":[1,{"y":"\\\"}]"}],"mod\u0065l" : "l\u00e4ma\\" , "n":-1.5e3,"system":"a","prompt":"b\"","stream":true,"user":"\u0041"})";
  const BodyScan whole = scan(body);
  REQUIRE(whole.state() == State::complete);
  for (std::size_t size = 1; size <= body.size(); ++size) {
    BodyScan pieces;
    for (std::size_t i = 0; i < body.size(); i += size) pieces.feed(std::string_view(body).substr(i, size));
    REQUIRE(pieces.state() == State::complete);
    CHECK(pieces.model() == whole.model());
    CHECK(pieces.model_place() == whole.model_place());
    CHECK(pieces.stream());
    CHECK(pieces.user() == whole.user());
    CHECK(texts(pieces, body) == texts(whole, body));
  }
}

TEST_CASE("body scan: is as new after a reset") {
  BodyScan again;
  again.feed(R"({"model":"a","stream":true,"user":"u","prompt":"p","x":"\)");
  again.reset();
  again.feed(R"({"model":"b"})");
  CHECK(again.state() == State::complete);
  CHECK(again.model() == "b");
  CHECK_FALSE(again.stream());
  CHECK(again.user().empty());
  CHECK(again.text().empty());
}

TEST_CASE("body scan: a long text full of escapes takes time that grows with its length only") {
  std::string body = R"({"messages":")";
  while (body.size() < (16u << 20)) body += R"(word\n)";
  body += R"(","model":"m"})";
  CHECK(scan(body).model() == "m");
}
