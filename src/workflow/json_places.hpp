// Looks into a JSON text without building its tree: for its outermost keys, and for where its values stand.
//
// nlohmann's reader keeps no places. So a text in which something turns out to be wrong is gone through once more for those values
// that messages are about: a good text costs nothing more. Lines and columns count from 1, columns in characters.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workflow/diagnostic.hpp"

namespace trireme::workflow {

/// Whether the text begins as an object that has one of these keys. It is read only as far as to the first of them.
bool has_outer_key(std::string_view text, std::initializer_list<std::string_view> keys);

/// Why and where a text is no JSON; none if it is.
struct JsonFlaw {
  Position at;
  std::string found;
  std::string expected;
};
std::optional<JsonFlaw> find_flaw(std::string_view text);

/// Fills in where those of a file's diagnostics are that have no place yet: at the value that their key names
/// ("workflow.tasks[3].parents"), or, where that is missing, at the one around it.
void give_places(std::string_view text, std::vector<Diagnostic>& diagnostics);

}  // namespace trireme::workflow
