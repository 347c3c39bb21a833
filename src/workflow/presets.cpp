#include "workflow/presets.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/units.hpp"

namespace trireme::workflow {
namespace {

Entry* entry_of(Node& map, std::string_view key) {
  const auto found =
      std::find_if(map.entries.begin(), map.entries.end(), [&](const Entry& entry) { return entry.key == key; });
  return found == map.entries.end() ? nullptr : &*found;
}

/// What is wrong with a preset's value shows where the user named the preset.
void move_to(Node& node, Position at) {
  node.at = at;
  for (Node& item : node.items) move_to(item, at);
  for (Entry& entry : node.entries) {
    entry.key_at = at;
    move_to(entry.value, at);
  }
}

/// The other spelling of what each rank gets, or the key itself.
std::string with_rank(std::string_view key) {
  const bool is_amount = key == "cores" || key == "gpus" || key == "memory";
  return std::string(key) + (is_amount ? "_per_rank" : "");
}

void merge(Node& map, const Entry& given) {
  Entry* own = entry_of(map, given.key);
  if (own == nullptr) own = entry_of(map, with_rank(given.key));
  if (own == nullptr) {
    map.entries.push_back(given);
  } else if (given.key == "env" && own->value.is_map()) {
    for (const Entry& variable : given.value.entries) {
      if (entry_of(own->value, variable.key) == nullptr) own->value.entries.push_back(variable);
    }
  }
}

/// The whole number in a field, rounded up, at least 1: a share of a GPU is one GPU to who uses it.
std::string at_least_one(Node& map, std::string_view key) {
  const Entry* entry = entry_of(map, key);
  if (entry == nullptr) entry = entry_of(map, with_rank(key));
  if (entry == nullptr || !entry->value.is_scalar()) return "1";
  const std::string whole = entry->value.text.substr(0, entry->value.text.find('.'));
  const bool is_number = !whole.empty() && whole.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || whole.find_first_not_of('0') == std::string::npos) return "1";
  return whole;
}

}  // namespace

std::optional<Node> with_preset(const Reader& reader, const Value& service, Variables& variables) {
  Node out = service.node;
  const auto take = [&](std::string_view key) -> std::optional<Value> {
    for (const Entry& entry : service.node.entries) {
      if (entry.key != key) continue;
      std::erase_if(out.entries, [&](const Entry& one) { return one.key == key; });
      return Value{entry.value, Path(service.path, entry.key), entry.at()};
    }
    return std::nullopt;
  };
  const auto named = take("preset");
  if (!named) return out;
  const auto name = reader.text(*named, "the name of a preset");
  if (!name) return std::nullopt;
  std::vector<std::string_view> names;
  for (const Preset& preset : presets()) names.push_back(preset.name);
  const auto preset =
      std::find_if(presets().begin(), presets().end(), [&](const Preset& p) { return p.name == *name; });
  const auto model = take("model");
  const auto options = take("options");
  if (preset == presets().end()) {
    reader.error(*named, "there is no preset " + in_quotes(*name), enumerate(names), did_you_mean(*name, names));
    return std::nullopt;
  }
  Diagnostics own("preset " + *name);  // it has no mistakes: a test sees to that
  const auto given = read_document(preset->text, own);
  if (!given) return std::nullopt;
  if (!model) {
    reader.error(*named, "model is missing", "model: what the server is to load");
    return std::nullopt;
  }
  const auto text = reader.text(*model, "a name or a path");
  if (!text) return std::nullopt;
  variables.emplace_back("model", *text);
  for (Entry entry : given->entries) {
    entry.key_at = named->at;
    move_to(entry.value, named->at);
    merge(out, entry);
  }
  variables.emplace_back("gpus", at_least_one(out, "gpus"));
  variables.emplace_back("cores", at_least_one(out, "cores"));
  if (options) {
    Entry* command = entry_of(out, "command");
    if (command == nullptr || !command->value.is_list()) {
      reader.error(*options, "there is no command of a list to append them to",
                   "options beside a preset's own command");
    } else {
      for_each_item(*options, [&](const Value& item) { command->value.items.push_back(item.node); });
    }
  }
  return out;
}

}  // namespace trireme::workflow
