#include "workflow/reader.hpp"

#include <algorithm>
#include <charconv>

namespace trireme::workflow {
namespace {

/// `{name}` without quotes is a map with one empty key to YAML.
bool is_unquoted_placeholder(const Node& node) {
  return node.is_map() && node.entries.size() == 1 && node.entries.front().value.kind == Node::Kind::null &&
         is_identifier(node.entries.front().key);
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_variable_name(std::string_view name) {
  return is_identifier(name);
}

}  // namespace

std::string Path::text() const {
  if (up_ == nullptr) return std::string(key_);
  std::string out = up_->text();
  if (index_ != no_index) return out + "[" + std::to_string(index_) + "]";
  if (!out.empty()) out += ".";
  const bool plain =
      std::all_of(key_.begin(), key_.end(), [](char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7F'; });
  return out + (plain && !key_.empty() ? std::string(key_) : in_quotes(key_));
}

// --- Reader ----------------------------------------------------------------------------------------

void Reader::error(const Value& value, std::string message, std::string expected, std::string hint) const {
  diagnostics_.error(value.at, value.path.text(), std::move(message), std::move(expected), std::move(hint));
}

void Reader::warning(const Value& value, std::string message, std::string hint) const {
  diagnostics_.warning(value.at, value.path.text(), std::move(message), std::move(hint));
}

void Reader::unexpected(const Value& value, std::string expected) const {
  std::string hint;
  if (is_unquoted_placeholder(value.node)) {
    hint = "write \"{" + value.node.entries.front().key + "}\" in quotes";
  }
  error(value, "found " + describe(value.node), std::move(expected), std::move(hint));
}

void Reader::unknown_placeholder(const Value& value, const std::string& name) const {
  const std::string written = "{" + name + "}";
  const std::string escape = "write {" + written + " if the braces are meant";
  if (scope_.parameters().is_broken(name)) return;
  if (scope_.list(name) != nullptr) {
    error(value, written + " is a list", "", "lists are for foreach");
  } else if (is_runtime_placeholder(name)) {
    error(value, written + " is known only " + std::string(place_of(name)), "", escape);
  } else {
    const std::string guess = did_you_mean(name, scope_.names());
    error(value, written + " is not known", "", guess.empty() ? escape : guess + " Or " + escape);
  }
}

std::optional<Template> Reader::parse(const Value& value, std::string_view text, Template::Mode mode, Need need) const {
  if (text.find('\0') != std::string_view::npos) {
    error(value, "this text holds a zero byte (\\0)", {}, "programs and variables are given texts that end at one");
    return std::nullopt;
  }
  if (text.find('{') == std::string_view::npos) return Template::literal(std::string(text));
  bool good = true;
  const auto is_known = [&](std::string_view name) {
    if (scope_.has_value(name) || scope_.at_runtime(name)) return true;
    if (mode == Template::Mode::script) {
      if (is_runtime_placeholder(name)) {
        warning(value, "{" + std::string(name) + "} is left as it stands",
                "it is known only " + std::string(place_of(name)));
      }
      return false;
    }
    unknown_placeholder(value, std::string(name));
    good = false;
    return true;
  };
  Result<Template> parsed = Template::parse(text, mode, is_known);
  if (!parsed.ok() || !good) return std::nullopt;
  parsed->bind(
      [&](std::string_view name) { return scope_.stays_open(name, need) ? std::nullopt : scope_.value(name); });
  return std::move(*parsed);
}

std::optional<Template> Reader::parse(const Value& value, Template::Mode mode, std::string_view expected,
                                      Need need) const {
  if (!value.node.is_scalar()) {
    unexpected(value, std::string(expected));
    return std::nullopt;
  }
  return parse(value, value.node.text, mode, need);
}

void Reader::make_absolute(Template& path) const {
  path.make_absolute(scope_.workflow_dir(), [this](std::string_view name) { return scope_.is_variable(name); });
}

std::optional<std::string> Reader::text(const Value& value, std::string_view expected) const {
  const auto parsed = parse(value, Template::Mode::strict, expected);
  if (!parsed) return std::nullopt;
  const auto open = parsed->open_names();
  if (!open.empty()) {
    error(value, "{" + open.front() + "} has no value yet when the workflow is loaded", std::string(expected));
    return std::nullopt;
  }
  auto finished = parsed->expand([](std::string_view) { return std::nullopt; });
  return std::move(*finished);
}

std::optional<std::int64_t> Reader::integer(const Value& value, std::int64_t least, std::int64_t most) const {
  const std::string expected = most == std::numeric_limits<std::int32_t>::max()
                                   ? "a whole number from " + std::to_string(least)
                                   : "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  const auto written = text(value, expected);
  if (!written) return std::nullopt;
  std::string_view digits = *written;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::int64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, problem] = std::from_chars(digits.data(), end, number);
  if (stop != end || (problem != std::errc{} && problem != std::errc::result_out_of_range)) {
    error(value, in_quotes(*written) + " is not a whole number", expected);
    return std::nullopt;
  }
  if (problem == std::errc::result_out_of_range || number < least || number > most) {
    error(value, *written + " is out of range", expected);
    return std::nullopt;
  }
  return number;
}

std::optional<bool> Reader::boolean(const Value& value) const {
  const auto written = text(value, "true or false");
  if (!written) return std::nullopt;
  if (*written == "true" || *written == "True" || *written == "TRUE") return true;
  if (*written == "false" || *written == "False" || *written == "FALSE") return false;
  error(value, in_quotes(*written) + " is neither", "true or false");
  return std::nullopt;
}

std::optional<Duration> Reader::duration(const Value& value, Zero zero) const {
  constexpr std::string_view expected = "a duration such as 90, 90s, 1h30m or 1:30:00";
  const auto written = text(value, expected);
  if (!written) return std::nullopt;
  const auto parsed = parse_duration(*written);
  if (!parsed.ok()) {
    error(value, parsed.error().what, std::string(expected));
    return std::nullopt;
  }
  if (zero == Zero::refused && parsed->count() == 0) {
    error(value, "the duration is zero", "a duration above zero");
    return std::nullopt;
  }
  return *parsed;
}

std::optional<std::uint64_t> Reader::size(const Value& value) const {
  constexpr std::string_view expected = "a size such as 16G or 512M";
  const auto written = text(value, expected);
  if (!written) return std::nullopt;
  const auto parsed = parse_size(*written);
  if (!parsed.ok()) {
    error(value, parsed.error().what, std::string(expected));
    return std::nullopt;
  }
  constexpr std::uint64_t suspicious = 1u << 20;
  if (*parsed > 0 && *parsed < suspicious) {
    warning(value, *written + " is less than one megabyte",
            is_digits(*written) ? "did you mean " + *written + "G?" : "");
  }
  return *parsed;
}

std::optional<MilliGpus> Reader::gpus(const Value& value) const {
  constexpr std::string_view expected = "a whole number, or a part of one GPU such as 0.25, in thousandths";
  constexpr std::size_t decimals = 3;
  constexpr std::size_t longest = 6;
  const auto written = text(value, expected);
  if (!written) return std::nullopt;
  const std::string_view number = *written;
  const std::size_t dot = number.find('.');
  const std::string_view whole = number.substr(0, dot);
  std::string part(dot == std::string_view::npos ? "" : number.substr(dot + 1));
  while (part.ends_with('0')) part.pop_back();
  const bool is_number = (is_digits(whole) || (whole.empty() && !part.empty())) && (part.empty() || is_digits(part)) &&
                         whole.size() <= longest;
  if (!is_number || part.size() > decimals) {
    error(value, in_quotes(*written) + " is not a number of GPUs", std::string(expected));
    return std::nullopt;
  }
  part.resize(decimals, '0');
  const MilliGpus wholes = whole.empty() ? 0 : static_cast<MilliGpus>(std::stoul(std::string(whole)));
  const auto thousandths = static_cast<MilliGpus>(std::stoul(part));
  if (wholes > 0 && thousandths > 0) {
    error(value, *written + " GPUs cannot be given: only one GPU can be shared", std::string(expected));
    return std::nullopt;
  }
  return wholes * whole_gpu + thousandths;
}

// --- Fields ----------------------------------------------------------------------------------------

std::optional<Value> Fields::take(std::string_view key) {
  taken_.push_back(key);
  for (const Entry& entry : map_.entries) {
    if (entry.key == key) return Value{entry.value, Path(path_, entry.key), entry.at()};
  }
  return std::nullopt;
}

bool Fields::has(std::string_view key) const {
  return std::any_of(map_.entries.begin(), map_.entries.end(), [&](const Entry& entry) { return entry.key == key; });
}

void Fields::text(std::string_view key, std::string& out) {
  if (const auto value = take(key)) {
    if (auto read = reader_.text(*value)) out = std::move(*read);
  }
}

void Fields::text(std::string_view key, Template& out, Template::Mode mode, Need need) {
  if (const auto value = take(key)) {
    if (auto read = reader_.parse(*value, mode, "text", need)) out = std::move(*read);
  }
}

void Fields::integer(std::string_view key, std::uint32_t& out, std::uint32_t least, std::uint32_t most) {
  if (const auto value = take(key)) {
    if (const auto read = reader_.integer(*value, least, most)) {
      out = static_cast<std::uint32_t>(*read);
    }
  }
}

void Fields::boolean(std::string_view key, bool& out) {
  if (const auto value = take(key)) {
    if (const auto read = reader_.boolean(*value)) out = *read;
  }
}

void Fields::duration(std::string_view key, Duration& out, Zero zero) {
  if (const auto value = take(key)) {
    if (const auto read = reader_.duration(*value, zero)) out = *read;
  }
}

void Fields::memory(std::string_view key, std::uint64_t& out) {
  if (const auto value = take(key)) {
    if (const auto read = reader_.size(*value)) out = *read;
  }
}

void Fields::gpus(std::string_view key, MilliGpus& out) {
  if (const auto value = take(key)) {
    if (const auto read = reader_.gpus(*value)) out = *read;
  }
}

void Fields::texts(std::string_view key, std::vector<std::string>& out) {
  const auto value = take(key);
  if (!value) return;
  for_each_item(*value, [&](const Value& item) {
    auto read = reader_.text(item, item.node.is_map() ? "text, or a list of texts" : "text");
    if (!read) return;
    if (std::find(out.begin(), out.end(), *read) != out.end()) {
      reader_.error(item, in_quotes(*read) + " is named twice");
      return;
    }
    out.push_back(std::move(*read));
  });
}

void Fields::variables(std::string_view key, std::map<std::string, Template>& out) {
  const auto value = take(key);
  if (!value || !expect_map(reader_, *value, "a map of names and values")) return;
  for (const Entry& entry : value->node.entries) {
    const Value item{entry.value, Path(value->path, entry.key), entry.at()};
    if (!is_variable_name(entry.key)) {
      reader_.error({entry.value, item.path, entry.key_at},
                    in_quotes(entry.key) + " is no name for an environment variable",
                    "letters, digits and underscores, not starting with a digit");
      continue;
    }
    auto read = reader_.parse(item, Template::Mode::strict, "text", Need::nothing);
    if (read) out[entry.key] = std::move(*read);
  }
}

void Fields::finish() {
  std::vector<std::string_view> known;  // made once there is something to report
  for (const Entry& entry : map_.entries) {
    if (std::find(taken_.begin(), taken_.end(), entry.key) != taken_.end()) continue;
    for (std::string_view key : taken_) {
      if (std::find(known.begin(), known.end(), key) == known.end()) known.push_back(key);
    }
    constexpr std::size_t short_list = 6;
    const std::string guess = did_you_mean(entry.key, known);
    reader_.error({entry.value, Path(path_, entry.key), entry.key_at}, "unknown key",
                  guess.empty() && known.size() <= short_list ? enumerate(known) : "", guess);
  }
}

bool expect_map(const Reader& reader, const Value& value, std::string_view expected) {
  if (value.node.is_map()) return true;
  reader.unexpected(value, std::string(expected));
  return false;
}

}  // namespace trireme::workflow
