// trireme restart RUN SERVICE: starts each replica of a service anew, one after the other.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/command.hpp"
#include "cli/runtime_access.hpp"
#include "core/percent_encode.hpp"

namespace trireme::cli {

void add_restart(CLI::App& app, Context& context) {
  struct Options {
    std::string run;
    std::string service;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("restart", "Start the replicas of a service anew, one after the other");
  command->add_option("RUN", options->run, "a path, a name under ./trireme-runs, or `last`")->required();
  command->add_option("SERVICE", options->service, "the service's name")->required();
  command->add_flag("--json", options->json, "machine-readable output");
  command->callback([options, &context] {
    auto access = RuntimeAccess::find(options->run);
    if (!access) return context.fail(access.error());
    auto answer = access->call("POST", "/runtime/services/" + percent_encode(options->service) + "/restart");
    if (!answer) return context.fail(answer.error());
    if (options->json) {
      context.out << answer->dump(2) << '\n';
    } else {
      context.say("the replicas of service " + options->service + " are started anew, one after the other");
    }
  });
}

}  // namespace trireme::cli
