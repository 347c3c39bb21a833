// Where a command writes a document to: standard output, or the file that --out names.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "cli/command.hpp"

namespace trireme::cli {

/// Calls `write` with the file of that name, made or overwritten, or with context.out where the name is empty. A file that cannot be
/// written is told as an error.
void write_to(const std::string& file_name, Context& context, const std::function<void(std::ostream& out)>& write);

}  // namespace trireme::cli
