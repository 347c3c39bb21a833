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
bool read_range(std::string_view text, std::vector<std::string>& values) {
  std::int64_t first = 0;
  if (!take_whole(text, first)) return false;
  std::int64_t last = first;
  std::int64_t step = 1;
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    if (!take_whole(text, last)) return false;
    if (text.starts_with(':')) {
      text.remove_prefix(1);
      if (!take_whole(text, step) || step == 0) return false;
    }
  }
  if (!text.empty()) return false;
  if (last < first) return true;
  const std::uint64_t count = static_cast<std::uint64_t>(last - first) / static_cast<std::uint64_t>(step) + 1;
  if (count > defaults::workflow_tasks) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    values.push_back(std::to_string(first + static_cast<std::int64_t>(i) * step));
  }
  return true;
}

/// `{seeds}`: the whole text is the name of a list parameter.
const Parameter* named_list(const Reader& reader, std::string_view text) {
  if (!text.starts_with('{') || !text.ends_with('}')) return nullptr;
  return reader.scope().list(text.substr(1, text.size() - 2));
}

bool read_values(const Reader& reader, const Value& value, std::vector<std::string>& values) {
  if (value.node.is_list()) {
    bool good = true;
    for_each_item(value, [&](const Value& item) {
      if (auto text = reader.text(item, "a text or a number")) {
        values.push_back(std::move(*text));
      } else {
        good = false;
      }
    });
    if (!good) return false;
  } else if (!value.node.is_scalar()) {
    reader.unexpected(value, std::string(values_expected));
    return false;
  } else if (const Parameter* list = named_list(reader, value.node.text)) {
    values = list->values;
  } else {
    const auto text = reader.text(value, values_expected);
    if (!text) return false;
    if (!read_range(*text, values)) {
      reader.error(value, in_quotes(*text) + " is not a range", std::string(values_expected));
      return false;
    }
  }
  if (values.empty()) {
    reader.error(value, "there are no values", std::string(values_expected));
    return false;
  }
  return true;
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

}  // namespace

std::optional<Foreach> Foreach::read(const Reader& reader, const Value& value) {
  Foreach out;
  bool good = true;
  const auto name_of = [&](const Path& path, const Entry& entry) {
    return Value{entry.value, Path(path, entry.key), entry.key_at};
  };
  if (value.node.is_map()) {
    for (const Entry& entry : value.node.entries) {
      Variable variable{entry.key, {}};
      good = check_parameter_name(reader, name_of(value.path, entry), entry.key) && good;
      const Value values{entry.value, Path(value.path, entry.key), entry.at()};
      good = read_values(reader, values, variable.values) && good;
      if (!variable.values.empty() && out.size_ > defaults::workflow_tasks / variable.values.size()) {
        reader.error(value, "there are too many instances", std::to_string(defaults::workflow_tasks) + " at most");
        return std::nullopt;
      }
      out.size_ *= variable.values.size();
      out.axes_.push_back(std::move(variable));
    }
  } else if (value.node.is_list()) {
    out.zipped_ = true;
    out.size_ = value.node.items.size();
    const std::size_t errors_before = reader.diagnostics().error_count();
    for_each_item(value, [&](const Value& item) {
      if (!expect_map(reader, item, "a map of variables and values")) return;
      if (&item.node == &value.node.items.front()) {
        for (const Entry& entry : item.node.entries) {
          check_parameter_name(reader, name_of(item.path, entry), entry.key);
          out.axes_.push_back({entry.key, {}});
        }
      }
      Fields fields(reader, item.node, item.path);
      for (Variable& variable : out.axes_) {
        if (!fields.has(variable.name)) {
          reader.error(item, "the variable " + in_quotes(variable.name) + " is missing");
        }
        std::string text;
        fields.text(variable.name, text);
        variable.values.push_back(std::move(text));
      }
      fields.finish();
    });
    good = reader.diagnostics().error_count() == errors_before;
  } else {
    reader.unexpected(value, "a map of variables and their values, or a list of maps");
    return std::nullopt;
  }
  if (out.axes_.empty() && good) {
    reader.error(value, "there are no variables", "a map of variables and their values");
    return std::nullopt;
  }
  if (!good) return std::nullopt;
  return out;
}

Variables Foreach::variables(std::size_t i) const {
  Variables out(axes_.size());
  for (std::size_t axis = axes_.size(); axis-- > 0;) {
    const Variable& variable = axes_[axis];
    const std::size_t at = zipped_ ? i : i % variable.values.size();
    if (!zipped_) i /= variable.values.size();
    out[axis] = {variable.name, variable.values[at]};
  }
  return out;
}

std::string instance_suffix(const Variables& variables) {
  std::string out;
  for (const auto& [name, value] : variables) {
    out += (out.empty() ? "[" : ",") + name + "=" + value;
  }
  return out.empty() ? out : out + "]";
}

}  // namespace trireme::workflow
