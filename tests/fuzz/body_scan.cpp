// libFuzzer entry: any bytes as a request's body, in pieces, against nlohmann's parser as oracle: of a document that is
// valid the scanner finds what the parser finds, or refuses it for a reason that the contract names.
#include "proxy/front/body_scan.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

namespace {

using nlohmann::json;
using trireme::proxy::BodyScan;

void check(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "the scanner and the parser differ: %s\n", what);
  std::abort();
}

/// Notes the keys of the outermost object, which a document would hold once each.
struct Keys : json::json_sax_t {
  int depth = 0;
  int models = 0;
  int names = 0;
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth > 0; }
  bool end_object() override { return depth-- > 0; }
  bool start_array(std::size_t) override { return ++depth > 0; }
  bool end_array() override { return depth-- > 0; }
  bool key(string_t& key) override {
    if (depth != 1) return true;
    std::string lower = key;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    models += lower == "model" ? 1 : 0;
    names += key == "name" ? 1 : 0;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] % 32 + 1;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  BodyScan scan;
  for (std::size_t i = 0; i < body.size(); i += piece) scan.feed(body.substr(i, piece));
  BodyScan whole;
  whole.feed(body);
  check(whole.state() == scan.state() && whole.model() == scan.model() && whole.stream() == scan.stream() &&
            whole.user() == scan.user() && whole.model_place() == scan.model_place(),
        "in pieces or whole");

  const json document = json::parse(body, nullptr, false);
  // The oracle takes a byte-order mark, and a zero byte for the end; the contract refuses both.
  const bool lax = body.starts_with('\xef') || body.find('\0') != std::string_view::npos;
  if (document.is_discarded() || lax) return 0;
  Keys keys;
  check(json::sax_parse(body, &keys), "parsed twice");
  if (scan.state() != BodyScan::State::complete) {
    const bool odd_model =
        keys.models > 0 && (keys.models > 1 || !document.contains("model") || !document["model"].is_string() ||
                            document["model"].get_ref<const std::string&>().size() * 6 > BodyScan::max_model_name);
    check(!document.is_object() || odd_model, "a document is refused");
    return 0;
  }
  check(document.is_object(), "something else is taken for an object");
  const auto text = [&](const char* key) {
    return document.contains(key) && document[key].is_string() ? document[key].get<std::string>() : std::string();
  };
  check(scan.model() == text("model"), "the model");
  if (keys.names == 1 && text("name").size() * 6 <= BodyScan::max_model_name)
    check(scan.name() == text("name"), "the name");
  check(scan.stream() == (document.contains("stream") && document["stream"] == json(true)), "the stream");
  if (!scan.model().empty()) {
    std::string renamed(body);
    renamed.replace(scan.model_place().begin, scan.model_place().size, trireme::proxy::escape("a \"b\"\n\\"));
    json expected = document;
    expected["model"] = "a \"b\"\n\\";
    check(json::parse(renamed, nullptr, false) == expected, "the name replaced");
  }
  return 0;
}
