#include "workflow/program.hpp"

#include <algorithm>

#include "workflow/shell_words.hpp"

namespace trireme::workflow {
namespace {

/// A program named with a slash is found from the workflow file's folder; one without, from PATH.
void find_program(Template& program, const Reader& reader) {
  if (program.source().find('/') != std::string::npos) reader.make_absolute(program);
}

std::vector<Template> read_command(const Reader& reader, const Value& value) {
  std::vector<Template> out;
  const auto add = [&](const Value& at, std::string_view word) {
    const Need need = out.empty() ? Need::plain : Need::nothing;  // the first is a path
    if (auto parsed = reader.parse(at, word, Template::Mode::strict, need)) {
      out.push_back(std::move(*parsed));
      return true;
    }
    return false;
  };
  bool good = true;
  if (value.node.is_scalar()) {
    const auto words = split_words(value.node.text);
    if (!words.ok()) {
      reader.error(value, words.error().what, "", words.error().hint);
      return {};
    }
    for (const std::string& word : *words) good = add(value, word) && good;
  } else if (value.node.is_list()) {
    for_each_item(value, [&](const Value& item) {
      if (item.node.is_scalar()) {
        good = add(item, item.node.text) && good;
      } else {
        reader.unexpected(item,
                          item.node.kind == Node::Kind::null ? "an argument; an empty one is \"\"" : "an argument");
        good = false;
      }
    });
  } else {
    reader.unexpected(value, "a list of arguments, or a text");
    return {};
  }
  if (!good) return {};
  if (out.empty() || out.front().empty()) {
    reader.error(value, "there is no program to run", "a program and its arguments");
    return {};
  }
  find_program(out.front(), reader);
  return out;
}

}  // namespace

void read_program(Fields& fields, const Reader& reader, const Value& owner, bool optional,
                  std::vector<Template>& command, Template& script) {
  const auto command_value = fields.take("command");
  const auto script_value = fields.take("script");
  if (command_value) command = read_command(reader, *command_value);
  if (script_value) {
    const bool blank =
        script_value->node.is_scalar() && script_value->node.text.find_first_not_of(" \t\r\n") == std::string::npos;
    if (blank) {
      reader.error(*script_value, "the script is empty", "lines for bash");
    } else if (auto text = reader.parse(*script_value, Template::Mode::script, "lines for bash", Need::nothing)) {
      script = std::move(*text);
    }
  }
  if (command_value && script_value) {
    reader.error(*script_value, "there is a command already", "a command or a script");
  }
  if (!command_value && !script_value && !optional) {
    reader.error(owner, "there is nothing to run", "a command or a script");
  }
}

bool check_name(const Reader& reader, const Value& key, const std::string& name) {
  const auto plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  const bool good =
      !name.empty() && name.front() != '.' && name.front() != '-' && std::all_of(name.begin(), name.end(), plain);
  if (!good) {
    reader.error(key, in_quotes(name) + " is no name",
                 "letters, digits, \"_\", \".\" and \"-\", not starting with \".\" or \"-\"");
  }
  return good;
}

}  // namespace trireme::workflow
