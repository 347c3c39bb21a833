#include "workflow/foreach.hpp"

#include <algorithm>
#include <charconv>

#include "core/defaults.hpp"

namespace trireme::workflow {
namespace {

constexpr std::string_view values_expected =
    "a list of values, a range such as 1-10 or 0-100:10, or the {name} of a list parameter";

bool take_whole(std::string_view& text, std::int64_t& number) {
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, number);
  if (problem != std::errc{} || number < 0) return false;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  return true;
}

/// `FIRST-LAST` and `FIRST-LAST:STEP`, both ends included, as in Slurm's --array; a single number is a range of one.
std::optional<VariableValues> read_range(std::string_view text) {
  std::int64_t first = 0;
  if (!take_whole(text, first)) return std::nullopt;
  std::int64_t last = first;
  std::int64_t step = 1;
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    if (!take_whole(text, last)) return std::nullopt;
    if (text.starts_with(':')) {
      text.remove_prefix(1);
      if (!take_whole(text, step) || step == 0) return std::nullopt;
    }
  }
  if (!text.empty()) return std::nullopt;
  if (last < first) return VariableValues(first, 0);
  const std::uint64_t count = static_cast<std::uint64_t>(last - first) / static_cast<std::uint64_t>(step) + 1;
  if (count > defaults::workflow_tasks) return std::nullopt;
  return VariableValues(first, count, step);
}

/// `{seeds}`: the whole text is the name of a list parameter.
const Parameter* named_list(const Reader& reader, std::string_view text) {
  if (!text.starts_with('{') || !text.ends_with('}')) return nullptr;
  return reader.scope().list(text.substr(1, text.size() - 2));
}

/// The texts of a list; nothing after an error.
std::optional<std::vector<std::string>> read_list(const Reader& reader, const Value& value) {
  std::vector<std::string> list;
  list.reserve(value.node.items.size());
  for_each_item(value, [&](const Value& item) {
    if (auto text = reader.text(item, "a text or a number")) list.push_back(std::move(*text));
  });
  if (list.size() != value.node.items.size()) return std::nullopt;
  return list;
}

std::optional<VariableValues> read_values(const Reader& reader, const Value& value) {
  std::optional<VariableValues> values;
  if (value.node.is_list()) {
    auto list = read_list(reader, value);
    if (!list) return std::nullopt;
    values.emplace(std::move(*list));
  } else if (!value.node.is_scalar()) {
    reader.unexpected(value, std::string(values_expected));
    return std::nullopt;
  } else if (const Parameter* list = named_list(reader, value.node.text)) {
    values.emplace(list->values);
  } else {
    const auto text = reader.text(value, values_expected);
    if (!text) return std::nullopt;
    values = read_range(*text);
    if (!values) {
      reader.error(value, in_quotes(*text) + " is not a range", std::string(values_expected));
      return std::nullopt;
    }
  }
  if (values->size() == 0) {
    reader.error(value, "there are no values", std::string(values_expected));
    return std::nullopt;
  }
  return values;
}

bool check_parameter_name(const Reader& reader, const Value& key, const std::string& name) {
  if (!is_identifier(name)) {
    reader.error(key, in_quotes(name) + " is no name for a variable",
                 "letters, digits and underscores, not starting with a digit");
    return false;
  }
  if (is_runtime_placeholder(name)) {
    reader.error(key, "{" + name + "} belongs to the runtime", "another name");
    return false;
  }
  if (reader.scope().parameters().find(name) != nullptr) {
    reader.error(key, in_quotes(name) + " is a parameter already", "another name");
    return false;
  }
  return true;
}

Value name_of(const Path& path, const Entry& entry) {
  return {entry.value, Path(path, entry.key), entry.key_at};
}

std::optional<Foreach> read_product(const Reader& reader, const Value& value) {
  Foreach out;
  bool good = true;
  std::uint64_t size = 1;
  for (const Entry& entry : value.node.entries) {
    good = check_parameter_name(reader, name_of(value.path, entry), entry.key) && good;
    auto values = read_values(reader, {entry.value, Path(value.path, entry.key), entry.at()});
    good = values.has_value() && good;
    if (!values) continue;
    if (size > defaults::workflow_tasks / values->size()) {
      reader.error(value, "there are too many instances", std::to_string(defaults::workflow_tasks) + " at most");
      return std::nullopt;
    }
    size *= values->size();
    out.variables.push_back({entry.key, std::move(*values)});
  }
  if (!good) return std::nullopt;
  return out;
}

std::optional<Foreach> read_rows(const Reader& reader, const Value& value) {
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> columns;
  const std::size_t errors_before = reader.diagnostics().error_count();
  for_each_item(value, [&](const Value& item) {
    if (!expect_map(reader, item, "a map of variables and values")) return;
    if (&item.node == &value.node.items.front()) {
      for (const Entry& entry : item.node.entries) {
        check_parameter_name(reader, name_of(item.path, entry), entry.key);
        names.push_back(entry.key);
      }
      columns.resize(names.size());
    }
    Fields fields(reader, item.node, item.path);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!fields.has(names[i])) reader.error(item, "the variable " + in_quotes(names[i]) + " is missing");
      fields.text(names[i], columns[i].emplace_back());
    }
    fields.finish();
  });
  if (reader.diagnostics().error_count() != errors_before) return std::nullopt;
  Foreach out;
  out.zipped = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    out.variables.push_back({std::move(names[i]), VariableValues(std::move(columns[i]))});
  }
  return out;
}

}  // namespace

std::optional<Foreach> Foreach::read(const Reader& reader, const Value& value) {
  if (!value.node.is_map() && !value.node.is_list()) {
    reader.unexpected(value, "a map of variables and their values, or a list of maps");
    return std::nullopt;
  }
  auto out = value.node.is_map() ? read_product(reader, value) : read_rows(reader, value);
  if (out && out->variables.empty()) {
    reader.error(value, "there are no variables", "a map of variables and their values");
    return std::nullopt;
  }
  return out;
}

Need met_by(const VariableValues& values) {
  const auto plain = [](const std::string& text) {
    return text.front() != '.' && std::all_of(text.begin(), text.end(), [](char c) {
             return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-' || c == '.';
           });
  };
  const std::vector<std::string>& list = values.list();  // numbers are plain
  if (std::any_of(list.begin(), list.end(), [](const std::string& text) { return text.empty(); })) return Need::nothing;
  return std::all_of(list.begin(), list.end(), plain) ? Need::plain : Need::filled;
}

}  // namespace trireme::workflow
