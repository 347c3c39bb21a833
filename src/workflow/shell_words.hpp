// Splits a command that was written as one text the way a shell would, without being one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace trireme::workflow {

/// The words of `text`: blanks separate, quotes and backslashes protect. What only a shell can do (pipes, redirections,
/// variables, globs, …) is an error that names it and proposes `script`. Braces are text.
Result<std::vector<std::string>> split_words(std::string_view text);

}  // namespace trireme::workflow
