// The commands that show a run as a whole: NAME RUN [--json].
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "cli/command.hpp"
#include "cli/read/json.hpp"
#include "cli/read/rundir.hpp"

namespace trireme::cli {

struct RunDisplay {
  std::string name;
  std::string description;
  std::function<Json(const LoadedRun& run)> to_json;
  std::function<void(const LoadedRun& run, std::ostream& out)> print_text;
};

void add_display(CLI::App& app, Context& context, RunDisplay display);

}  // namespace trireme::cli
