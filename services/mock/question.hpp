// What both dialects do with the JSON of a request.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "services/mock/dialect.hpp"
#include "services/mock/text.hpp"

namespace trireme::mock {

using Json = nlohmann::ordered_json;

/// The body as an object, or an error for whoever sent it.
inline Result<Json> parse_object(std::string_view body) {
  Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return Error{.what = "the body is no JSON object"};
  if (!json.contains("model") || !json["model"].is_string()) return Error{.what = "the body names no model"};
  return json;
}

/// A text, or the texts of a list of parts, or of messages with their roles, as the model would see them.
inline std::string prompt_text(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  std::string text;
  if (json.is_array()) {
    for (const Json& part : json) text += prompt_text(part);
  } else if (json.is_object()) {
    if (json.contains("role")) text += prompt_text(json["role"]) + ": ";
    if (json.contains("content")) text += prompt_text(json["content"]) + "\n";
    if (json.contains("text")) text += prompt_text(json["text"]);
  }
  return text;
}

inline void set_prompt(Question& question, const std::string& prompt, std::size_t output, const ModelOptions& model) {
  question.job.prompt_tokens = count_tokens(prompt);
  question.job.blocks = prompt_blocks(prompt, model.block);
  question.job.output_tokens = output;
  question.seed = hash(prompt, question.seed);
}

inline void set_inputs(Question& question, const Json& input) {
  for (const Json& one : input.is_array() ? input : Json::array({input})) question.inputs.push_back(prompt_text(one));
  for (const std::string& one : question.inputs) question.job.prompt_tokens += count_tokens(one);
}

/// A whole number of at least one, or nothing where there is none.
inline std::optional<std::size_t> count_at(const Json& json, const char* key) {
  if (!json.is_object() || !json.contains(key) || !json[key].is_number_integer()) return std::nullopt;
  const auto value = json[key].get<std::int64_t>();
  return value < 1 ? std::nullopt : std::optional<std::size_t>(static_cast<std::size_t>(value));
}

inline bool flag_at(const Json& json, const char* key, bool otherwise) {
  return json.is_object() && json.contains(key) && json[key].is_boolean() ? json[key].get<bool>() : otherwise;
}

/// Any text at all as JSON; what is no UTF-8 is replaced.
inline std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace trireme::mock
