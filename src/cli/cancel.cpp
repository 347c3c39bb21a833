// trireme cancel ID…: what has not started never will; what runs is asked to end.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/command.hpp"
#include "cli/runtime_access.hpp"
#include "core/percent_encode.hpp"

namespace trireme::cli {

void add_cancel(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    std::vector<std::string> ids;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("cancel", "Cancel tasks of a run, from inside a task or with --run");
  command->add_option("ID", options->ids, "ids of tasks")->required();
  command->add_flag("--json", options->json, "machine-readable output");
  add_run_option(*command, options->run);
  command->callback([options, &context] {
    auto access = RuntimeAccess::find(options->run);
    if (!access) return context.fail(access.error());
    auto tasks = nlohmann::ordered_json::array();
    for (const std::string& id : options->ids) {
      auto answer = access->call("DELETE", "/runtime/tasks/" + percent_encode(id));
      if (!answer) return context.fail(answer.error());
      if (!options->json) context.out << id << ' ' << answer->value("state", "") << '\n';
      tasks.push_back(std::move(*answer));
    }
    if (options->json) context.out << tasks.dump(2) << '\n';
  });
}

}  // namespace trireme::cli
