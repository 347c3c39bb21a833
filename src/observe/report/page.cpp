#include "observe/report/page.hpp"

#include <nlohmann/json.hpp>
#include <ostream>

namespace trireme::observe::report {
namespace {

/// A module as a part of a script.
void write_module(std::string_view module, std::ostream& out) {
  while (!module.empty()) {
    const std::size_t end = module.find('\n');
    std::string_view line = module.substr(0, end);
    module.remove_prefix(end == std::string_view::npos ? module.size() : end + 1);
    if (line.starts_with("import ")) continue;
    if (line.starts_with("export ")) line.remove_prefix(std::string_view("export ").size());
    out << line << '\n';
  }
}

void write_files(std::string_view type, std::ostream& out) {
  for (const PageFile& file : page_files()) {
    if (file.type == type) out << file.content << '\n';
  }
}

void write_modules(std::ostream& out) {
  for (const PageFile& file : page_files()) {
    if (file.type == "module") write_module(file.content, out);
  }
}

}  // namespace

std::string json_for_script(const nlohmann::ordered_json& json) {
  const std::string text = json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

void write_page(const nlohmann::ordered_json& data, std::ostream& out) {
  std::string_view html;
  for (const PageFile& file : page_files()) {
    if (file.type == "text/html") html = file.content;
  }
  // Where the page wants something it has a comment that says what.
  constexpr std::string_view open = "<!--";
  constexpr std::string_view close = "-->";
  for (std::size_t at = html.find(open); at != std::string_view::npos; at = html.find(open)) {
    out << html.substr(0, at);
    const std::size_t end = html.find(close, at);
    const std::string_view wanted = html.substr(at + open.size(), end - at - open.size());
    html.remove_prefix(end + close.size());
    if (wanted == "styles") {
      out << "<style>\n";
      write_files("text/css", out);
      out << "</style>";
    } else if (wanted == "data") {
      out << "<script type=\"application/json\" id=\"data\">" << json_for_script(data) << "</script>";
    } else if (wanted == "scripts") {
      out << "<script>\n";
      write_files("text/javascript", out);
      out << "(() => {\n\"use strict\";\n";
      write_modules(out);
      out << "})();\n</script>";
    }
  }
  out << html;
}

}  // namespace trireme::observe::report
