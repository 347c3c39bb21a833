#include "runtime/results.hpp"

#include <nlohmann/json.hpp>

#include "core/defaults.hpp"
#include "core/units.hpp"

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;

/// Calls `replace(id)` for each {"result": ID}, whose value takes its place; false when it fails.
template <typename Replace>
bool replace_results(Json& json, const Replace& replace) {
  if (json.is_object() && json.size() == 1 && json.contains("result") && json["result"].is_string()) {
    std::optional<Json> value = replace(json["result"].get<std::string>());
    if (!value) return false;
    json = std::move(*value);
    return true;
  }
  if (!json.is_structured()) return true;
  for (Json& item : json) {
    if (!replace_results(item, replace)) return false;
  }
  return true;
}

}  // namespace

void Results::keep(TaskIndex task, std::string json) {
  if (json.empty()) return;
  const auto found = results_.find(task);
  const std::size_t before = found != results_.end() ? found->second.size() : 0;
  if (bytes_ - before + json.size() > defaults::results_held) return;
  bytes_ += json.size() - before;
  results_[task] = std::move(json);
}

const std::string* Results::find(TaskIndex task) const {
  const auto found = results_.find(task);
  return found != results_.end() ? &found->second : nullptr;
}

Result<std::string> Results::fill(const std::string& args,
                                  const std::function<std::optional<TaskIndex>(std::string_view id)>& find_task) const {
  Json json = Json::parse(args, nullptr, false);
  std::string missing;
  const bool filled = replace_results(json, [&](const std::string& id) -> std::optional<Json> {
    const auto task = find_task(id);
    const std::string* result = task ? find(*task) : nullptr;
    Json value = result != nullptr ? Json::parse(*result, nullptr, false) : Json(Json::value_t::discarded);
    if (value.is_discarded()) {
      missing = id;
      return std::nullopt;
    }
    return value;
  });
  if (!filled) {
    return Error{"its argument, the result of " + missing +
                     ", is not there: that is no function which returned one, or more than " +
                     format_size(defaults::results_held) + " of results were to be kept",
                 "", "pass large data in files", ExitCode::failed};
  }
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > defaults::function_args) {
    return Error{
        "its arguments are longer than " + format_size(defaults::function_args) + " with the results filled in", "",
        "pass large data in files", ExitCode::failed};
  }
  return text;
}

}  // namespace trireme
