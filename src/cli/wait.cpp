// trireme wait ID…: waits until tasks of a run have ended.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "cli/command.hpp"
#include "cli/runtime_access.hpp"
#include "core/units.hpp"

namespace trireme::cli {

void add_wait(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    std::vector<std::string> ids;
    std::string timeout = "8760h";  ///< a year
    bool any = false;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("wait", "Wait until tasks of a run have ended, from inside a task or with --run");
  command->add_option("ID", options->ids, "ids of tasks")->required();
  command->add_flag("--any", options->any, "until one of them has");
  command->add_option("--timeout", options->timeout, "at most so long, e.g. 10m; then the exit code is 1");
  command->add_flag("--json", options->json, "machine-readable output");
  add_run_option(*command, options->run);
  command->callback([options, &context] {
    const auto timeout = parse_duration(options->timeout);
    if (!timeout) return context.fail(timeout.error());
    auto access = RuntimeAccess::find(options->run);
    if (!access) return context.fail(access.error());
    std::set<std::string> named;
    std::erase_if(options->ids, [&](const std::string& id) { return !named.insert(id).second; });
    auto tasks = access->wait(options->ids, options->any, std::chrono::ceil<std::chrono::milliseconds>(*timeout));
    if (!tasks) return context.fail(tasks.error());
    print_ends(*tasks, options->any ? 1 : options->ids.size(), options->json, context);
  });
}

}  // namespace trireme::cli
