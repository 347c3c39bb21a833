#include "core/template.hpp"

#include <algorithm>
#include <array>

namespace trireme {
namespace {

constexpr std::array<std::string_view, 14> runtime_placeholders{
    "port",      "socket",  "host",     "key",     "replica",      "rank",    "head",
    "head_port", "task_id", "task_dir", "run_dir", "workflow_dir", "scratch", "attempt"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// The identifier at the front of `text`, if it is followed by a closing brace.
std::string_view identifier_in_braces(std::string_view text) {
  if (text.empty() || !is_letter(text.front())) return {};
  std::size_t end = 1;
  while (end < text.size() && (is_letter(text[end]) || (text[end] >= '0' && text[end] <= '9'))) ++end;
  return end < text.size() && text[end] == '}' ? text.substr(0, end) : std::string_view{};
}

}  // namespace

bool is_runtime_placeholder(std::string_view name) {
  return std::find(runtime_placeholders.begin(), runtime_placeholders.end(), name) != runtime_placeholders.end();
}

Template Template::literal(std::string text) {
  Template out;
  if (!text.empty()) out.pieces_.push_back({false, std::move(text)});
  return out;
}

void Template::append_literal(std::string_view text) {
  if (text.empty()) return;
  if (pieces_.empty() || pieces_.back().placeholder) pieces_.push_back({});
  pieces_.back().text += text;
}

Result<Template> Template::parse(std::string_view text, Mode mode, const IsKnown& is_known) {
  Template out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t brace = text.find_first_of("{$", at);
    if (brace == std::string_view::npos) break;
    out.append_literal(text.substr(at, brace - at));
    at = brace;
    if (text[at] == '$') {
      // "${NAME}" belongs to the shell; a brace directly behind "$" is never ours.
      const std::size_t length = at + 1 < text.size() && text[at + 1] == '{' ? 2 : 1;
      out.append_literal(text.substr(at, length));
      at += length;
      continue;
    }
    if (text.substr(at, 2) == "{{") {
      out.append_literal("{");
      at += 2;
      continue;
    }
    const std::string_view name = identifier_in_braces(text.substr(at + 1));
    if (name.empty()) {
      out.append_literal("{");
      ++at;
      continue;
    }
    const std::size_t length = name.size() + 2;
    if (is_known(name)) {
      out.pieces_.push_back({true, std::string(name)});
    } else if (mode == Mode::script) {
      out.append_literal(text.substr(at, length));
    } else {
      return Error{"unknown placeholder {" + std::string(name) + "}", "",
                   "write {{" + std::string(name) + "} if the braces are meant as they stand", ExitCode::usage};
    }
    at += length;
  }
  out.append_literal(text.substr(at));
  return out;
}

void Template::bind(const Lookup& lookup) {
  if (std::none_of(pieces_.begin(), pieces_.end(), [](const Piece& piece) { return piece.placeholder; })) return;
  Template bound;
  for (Piece& piece : pieces_) {
    if (!piece.placeholder) {
      bound.append_literal(piece.text);
    } else if (auto value = lookup(piece.text)) {
      bound.append_literal(*value);
    } else {
      bound.pieces_.push_back(std::move(piece));
    }
  }
  pieces_ = std::move(bound.pieces_);
}

Result<std::string> Template::expand(const Lookup& lookup) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    if (!piece.placeholder) {
      out += piece.text;
    } else if (auto value = lookup(piece.text)) {
      out += *value;
    } else {
      return Error{"{" + piece.text + "} has no value here", "", "", ExitCode::usage};
    }
  }
  return out;
}

void Template::make_absolute(std::string_view folder, const IsKnown& is_relative) {
  if (pieces_.empty()) return;
  if (pieces_.front().placeholder) {
    if (!is_relative || !is_relative(pieces_.front().text)) return;
    pieces_.insert(pieces_.begin(), Piece{});
  }
  std::string& path = pieces_.front().text;
  if (path.starts_with('/')) return;
  while (path.starts_with("./")) path.erase(0, 2);
  path.insert(0, std::string(folder) + "/");
}

void Template::cut_at(std::string_view characters) {
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i].placeholder) continue;
    const std::size_t at = pieces_[i].text.find_first_of(characters);
    if (at == std::string::npos) continue;
    pieces_[i].text.resize(at);
    pieces_.resize(at == 0 ? i : i + 1);
    return;
  }
}

Template Template::last_component() const {
  Template out = *this;
  if (!out.pieces_.empty() && !out.pieces_.back().placeholder) {
    std::string& end = out.pieces_.back().text;
    end.resize(end.find_last_not_of('/') + 1);
    if (end.empty()) out.pieces_.pop_back();
  }
  for (std::size_t i = out.pieces_.size(); i-- > 0;) {
    if (out.pieces_[i].placeholder) continue;
    const std::size_t slash = out.pieces_[i].text.rfind('/');
    if (slash == std::string::npos) continue;
    out.pieces_[i].text.erase(0, slash + 1);
    out.pieces_.erase(out.pieces_.begin(),
                      out.pieces_.begin() + static_cast<std::ptrdiff_t>(i) + (out.pieces_[i].text.empty() ? 1 : 0));
    break;
  }
  return out;
}

std::string Template::source() const {
  std::string out;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const std::string_view text = pieces_[i].text;
    if (pieces_[i].placeholder) {
      out += "{" + pieces_[i].text + "}";
      continue;
    }
    const bool before_placeholder = i + 1 < pieces_.size();
    for (std::size_t at = 0; at < text.size(); ++at) {
      out += text[at];
      if (text[at] != '{' || (at > 0 && text[at - 1] == '$')) continue;
      const std::string_view rest = text.substr(at + 1);
      const bool ambiguous =
          rest.starts_with('{') || !identifier_in_braces(rest).empty() || (rest.empty() && before_placeholder);
      if (ambiguous) out += '{';
    }
  }
  return out;
}

std::vector<std::string> Template::open_names() const {
  std::vector<std::string> names;
  for (const Piece& piece : pieces_) {
    if (piece.placeholder && std::find(names.begin(), names.end(), piece.text) == names.end()) {
      names.push_back(piece.text);
    }
  }
  return names;
}

}  // namespace trireme
