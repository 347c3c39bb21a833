#include "workflow/diagnostic.hpp"

#include <algorithm>

#include "core/defaults.hpp"

namespace trireme {

std::string Diagnostic::text() const {
  std::string out = file;
  if (line > 0) out += ":" + std::to_string(line) + ":" + std::to_string(column);
  if (!key.empty()) out += (out.empty() ? "" : ": ") + key;
  out += (out.empty() ? "" : ": ") + message;
  if (!expected.empty()) out += "; expected " + expected;
  if (!hint.empty()) out += "; " + hint;
  return out;
}

namespace workflow {
namespace {

constexpr std::size_t longest_quote = 80;

/// The end of the character that starts at `at`, in UTF-8.
std::size_t character_end(std::string_view text, std::size_t at) {
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

/// Edit distance with neighbouring letters swapped as one edit; gives up beyond `limit`.
std::size_t distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit) return limit + 1;
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> previous(b.size() + 1);
  std::vector<std::size_t> current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

}  // namespace

void Diagnostics::add(std::vector<Diagnostic>& list, Diagnostic diagnostic) {
  if (list.size() > defaults::workflow_errors) return;
  if (list.size() == defaults::workflow_errors) {
    list.push_back({file_, 0, 0, "", "there is more than this; the rest is not shown", "", ""});
    return;
  }
  if (!seen_.insert(diagnostic.text()).second) return;
  list.push_back(std::move(diagnostic));
}

void Diagnostics::error(Position at, std::string key, std::string message, std::string expected, std::string hint) {
  ++reported_;
  add(errors_, {file_, at.line, at.column, std::move(key), std::move(message), std::move(expected), std::move(hint)});
}

void Diagnostics::warning(Position at, std::string key, std::string message, std::string hint) {
  add(warnings_, {file_, at.line, at.column, std::move(key), std::move(message), "", std::move(hint)});
}

void Diagnostics::option_error(std::string option, std::string message, std::string expected, std::string hint) {
  ++reported_;
  add(errors_, {"--set", 0, 0, std::move(option), std::move(message), std::move(expected), std::move(hint)});
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  std::size_t at = 0;
  while (at < text.size()) {
    if (out.size() > longest_quote) return out + "…\"";
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x20 || byte == 0x7F) {
      constexpr std::string_view digits = "0123456789abcdef";
      if (byte == '\n') {
        out += "\\n";
      } else if (byte == '\t') {
        out += "\\t";
      } else {
        out += "\\x";
        out += digits[byte >> 4];
        out += digits[byte & 15];
      }
      ++at;
    } else {
      const std::size_t end = character_end(text, at);
      out += text.substr(at, end - at);
      at = end;
    }
  }
  return out + "\"";
}

std::string did_you_mean(std::string_view name, const std::vector<std::string_view>& candidates) {
  constexpr std::size_t longest = 100;
  if (name.size() < 2 || name.size() > longest) return {};
  // A third of the letters may differ: "replica" is near "replicas", "xyz" is near nothing.
  std::size_t best = std::max<std::size_t>(1, name.size() / 3) + 1;
  std::string_view found;
  for (std::string_view candidate : candidates) {
    const std::size_t d = distance(name, candidate, best);
    if (d < best) {
      best = d;
      found = candidate;
    }
  }
  return found.empty() ? std::string{} : "did you mean " + in_quotes(found) + "?";
}

std::string enumerate(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

}  // namespace workflow
}  // namespace trireme
