#include "node/result_json.hpp"

#include <nlohmann/json.hpp>

#include "services/executor/frames.hpp"

namespace trireme {
namespace {

using Json = nlohmann::json;

/// Goes through a text and keeps nothing.
class Checker final : public nlohmann::json_sax<Json> {
 public:
  std::string trouble;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    trouble = "the result is no JSON: see byte " + std::to_string(position);
    return false;
  }

 private:
  bool open() {
    if (++depth_ <= executor::max_depth) return true;
    trouble =
        "in the result lists and maps lie more than " + std::to_string(executor::max_depth) + " deep in each other";
    return false;
  }
  bool close() {
    --depth_;
    return true;
  }
  std::size_t depth_ = 0;
};

}  // namespace

std::optional<std::string> why_no_result(std::string_view result) {
  if (result == "null") return std::nullopt;  // of most functions that are called for what they do
  Checker checker;
  if (Json::sax_parse(result, &checker)) return std::nullopt;
  return checker.trouble;
}

}  // namespace trireme
