#include "workflow/parameters.hpp"

#include <algorithm>
#include <optional>

#include "workflow/reader.hpp"

namespace trireme::workflow {
namespace {

struct Setting {
  std::string name;
  std::vector<std::string> values;
  bool is_list = false;
};

/// A value of --set: a list in brackets or a text in quotes as YAML has them, anything else as it stands.
bool read_value(const std::string& option, std::string_view written, Setting& setting, Diagnostics& diagnostics) {
  const bool is_yaml = written.starts_with('[') || written.starts_with('"') || written.starts_with('\'');
  if (!is_yaml) {
    setting.values.emplace_back(written);
    return true;
  }
  Diagnostics inner("--set");
  const auto node = read_document(written, inner);
  if (!node) {
    diagnostics.option_error(option, "the value is not closed", "a text, or a list such as [1, 2]");
    return false;
  }
  setting.is_list = node->is_list();
  bool good = true;
  for_each_item(Value{*node, Path(), node->at}, [&](const Value& item) {
    good = good && item.node.is_scalar();
    setting.values.push_back(item.node.text);
  });
  if (!good) {
    diagnostics.option_error(option, "found a list or a map inside the list", "a text, or a list of texts");
  }
  return good;
}

std::optional<Setting> read_setting(const std::string& option, Diagnostics& diagnostics) {
  const std::size_t equals = option.find('=');
  if (equals == std::string::npos || equals == 0) {
    diagnostics.option_error(option, "there is no name and value", "NAME=VALUE");
    return std::nullopt;
  }
  Setting setting;
  setting.name = option.substr(0, equals);
  if (!read_value(option, std::string_view(option).substr(equals + 1), setting, diagnostics)) {
    return std::nullopt;
  }
  return setting;
}

/// The values that the file gives a parameter; none where it leaves them to --set, nothing after an error.
std::optional<Parameter> read_default(const Reader& reader, const Value& value, const std::string& name) {
  Parameter parameter;
  parameter.name = name;
  parameter.at = value.at;
  parameter.is_list = value.node.is_list();
  if (value.node.kind == Node::Kind::null) return parameter;
  if (value.node.is_map()) {
    reader.unexpected(value, "a text, a number or a list");
    return std::nullopt;
  }
  bool good = true;
  for_each_item(value, [&](const Value& item) {
    if (auto text = reader.text(item, "a text or a number")) {
      parameter.values.push_back(std::move(*text));
    } else {
      good = false;
    }
  });
  if (!good) return std::nullopt;
  return parameter;
}

void apply(Parameter& parameter, const Setting& setting, const std::string& option, Diagnostics& diagnostics) {
  const bool open = parameter.values.empty() && !parameter.is_list;
  if (setting.is_list && !parameter.is_list && !open) {
    diagnostics.option_error(option, in_quotes(setting.name) + " is a single value", "a text");
    return;
  }
  parameter.is_list = parameter.is_list || setting.is_list;
  parameter.values = setting.values;
}

}  // namespace

Parameters read_parameters(const Node* map, const std::vector<std::string>& settings, std::string_view workflow_dir,
                           Diagnostics& diagnostics) {
  Parameters parameters;
  const Scope scope(parameters, workflow_dir, {});
  const Reader reader(scope, diagnostics);
  const Path root;
  const Path section(root, "parameters");

  // What --set gives is known before the file's own values are read: those may refer to parameters above them.
  std::vector<std::pair<Setting, const std::string*>> given;
  for (const std::string& option : settings) {
    if (auto setting = read_setting(option, diagnostics)) given.emplace_back(*setting, &option);
  }

  std::vector<std::string_view> names;
  if (map != nullptr) {
    for (const Entry& entry : map->entries) {
      names.push_back(entry.key);
      const Value value{entry.value, Path(section, entry.key), entry.at()};
      const Value key{entry.value, Path(section, entry.key), entry.key_at};
      if (!is_identifier(entry.key)) {
        reader.error(key, in_quotes(entry.key) + " is no name for a parameter",
                     "letters, digits and underscores, not starting with a digit");
        continue;
      }
      if (is_runtime_placeholder(entry.key)) {
        reader.error(key, "{" + entry.key + "} belongs to the runtime", "another name");
        continue;
      }
      auto parameter = read_default(reader, value, entry.key);
      if (!parameter) {
        parameters.add_broken(entry.key);
        continue;
      }
      for (const auto& [setting, option] : given) {
        if (setting.name == entry.key) apply(*parameter, setting, *option, diagnostics);
      }
      if (parameter->values.empty() && !parameter->is_list) {
        reader.error(value, "the parameter has no value", "",
                     "give it one here, or with --set " + entry.key + "=VALUE");
        parameters.add_broken(entry.key);
        continue;
      }
      parameters.add(std::move(*parameter));
    }
  }

  for (const auto& [setting, option] : given) {
    if (std::find(names.begin(), names.end(), setting.name) == names.end()) {
      diagnostics.option_error(*option, "the workflow has no parameter " + in_quotes(setting.name), "",
                               did_you_mean(setting.name, names));
    }
  }
  return parameters;
}

void warn_of_unused(const Parameters& parameters, Diagnostics& diagnostics) {
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.used) {
      diagnostics.warning(parameter.at, "parameters." + parameter.name, "the parameter is not used");
    }
  }
}

}  // namespace trireme::workflow
