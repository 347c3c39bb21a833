#include "proxy/front/form_scan.hpp"

#include <algorithm>
#include <cstring>

namespace trireme::proxy {

namespace {

constexpr std::string_view line_end = "\r\n";
constexpr std::string_view head_end = "\r\n\r\n";
constexpr std::string_view form_type = "multipart/form-data";

/// In linear time, whatever the bytes.
std::size_t find_bytes(std::string_view in, std::string_view what, std::size_t from) {
  if (from >= in.size()) return std::string_view::npos;
  const void* const found = ::memmem(in.data() + from, in.size() - from, what.data(), what.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - in.data());
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<std::string> parameter_of(std::string_view value, std::string_view name) {
  std::size_t at = value.find(';');
  while (at < value.size()) {
    const std::size_t equals = value.find_first_of("=;", ++at);
    if (equals == std::string_view::npos) break;
    const bool wanted = http::iequals(without_blanks(value.substr(at, equals - at)), name);
    at = equals;
    if (value[at] == ';') continue;
    std::string text;
    std::size_t end = value.find_first_not_of(" \t", at + 1);
    if (end != std::string_view::npos && value[end] == '"') {
      for (++end; end < value.size() && value[end] != '"'; ++end) {
        if (value[end] == '\\' && end + 1 < value.size()) ++end;
        text += value[end];
      }
      at = value.find(';', end);
    } else {
      end = value.find(';', at);
      text = without_blanks(value.substr(at + 1, end == std::string_view::npos ? end : end - at - 1));
      at = end;
    }
    if (wanted) return text;
  }
  return std::nullopt;
}

bool is_form(const http::Headers& headers) {
  const std::string_view type = http::find(headers, "Content-Type").value_or("");
  return http::iequals(without_blanks(type.substr(0, type.find(';'))), form_type);
}

std::optional<std::string> boundary_of(const http::Headers& headers) {
  auto boundary = parameter_of(http::find(headers, "Content-Type").value_or(""), "boundary");
  if (!boundary || boundary->empty() || boundary->size() > FormScan::max_boundary) return std::nullopt;
  return boundary;
}

BodyScan::State FormScan::state() const {
  if (failure_ != nullptr) return BodyScan::State::failed;
  return at_ == At::end ? BodyScan::State::complete : BodyScan::State::reading;
}

BodyScan::State FormScan::look(std::string_view body) {
  while (failure_ == nullptr && at_ != At::end && step(body)) {
  }
  return state();
}

/// False when more bytes are needed.
bool FormScan::step(std::string_view body) {
  switch (at_) {
    case At::outside:
    case At::model:
      return skip(body);
    case At::line:
      return begin_part(body);
    case At::head:
      return read_head(body);
    case At::end:
      break;
  }
  return false;
}

/// Looks for the next delimiter.
bool FormScan::skip(std::string_view body) {
  if (!begun_) {
    // The first one has no line end before it if there is no preamble.
    const std::string_view first = std::string_view(delimiter_).substr(line_end.size());
    if (body.size() < first.size()) return false;
    begun_ = true;
    if (body.starts_with(first)) {
      offset_ = first.size();
      at_ = At::line;
      return true;
    }
  }
  const std::size_t found = find_bytes(body, delimiter_, offset_);
  const bool whole = found != std::string_view::npos;
  // A part without a body ends before it begins.
  const std::size_t size = std::max(whole ? found : body.size(), part_) - part_;
  if (at_ == At::model && size > BodyScan::max_model_name + (whole ? 0 : delimiter_.size())) {
    fail("the form's `model` is no name that a model can have");
    return false;
  }
  if (!whole) {
    if (body.size() > delimiter_.size()) offset_ = std::max(offset_, body.size() - delimiter_.size());
    return false;
  }
  if (at_ == At::model) {
    place_ = {part_, size};
    model_ = body.substr(part_, size);
  }
  offset_ = found + delimiter_.size();
  at_ = At::line;
  return true;
}

/// Behind a delimiter: "--" after the last one, else the end of its line.
bool FormScan::begin_part(std::string_view body) {
  std::size_t i = offset_;
  while (i < body.size() && (body[i] == ' ' || body[i] == '\t')) ++i;
  if (i - offset_ > max_part_head) fail("the body is no valid form: a delimiter's line has no end");
  if (i + line_end.size() > body.size()) return false;
  const std::string_view next = body.substr(i, line_end.size());
  if (next == line_end) {
    offset_ = i;  // a part without headers has the empty line here
    at_ = At::head;
  } else if (next == "--" && i == offset_) {
    at_ = At::end;
  } else {
    fail("the body is no valid form: its boundary stands within a part");
  }
  return failure_ == nullptr;
}

bool FormScan::read_head(std::string_view body) {
  const std::size_t end = find_bytes(body.substr(0, offset_ + max_part_head), head_end, offset_);
  if (end == std::string_view::npos) {
    if (body.size() >= offset_ + max_part_head) fail("the body is no valid form: the headers of a part have no end");
    return false;
  }
  bool sought = false;
  for (std::string_view lines = body.substr(offset_, end - offset_); !lines.empty();) {
    lines.remove_prefix(line_end.size());
    const std::string_view line = lines.substr(0, lines.find(line_end));
    lines.remove_prefix(line.size());
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !http::iequals(line.substr(0, colon), "Content-Disposition")) continue;
    const std::string_view value = line.substr(colon + 1);
    sought = parameter_of(value, "name") == "model" && !parameter_of(value, "filename");
  }
  // The line end may be that of the delimiter behind an empty part.
  offset_ = end + line_end.size();
  part_ = end + head_end.size();
  at_ = sought ? At::model : At::outside;
  if (sought && seen_) fail("the form names a model twice");
  seen_ = seen_ || sought;
  return failure_ == nullptr;
}

}  // namespace trireme::proxy
