// trireme request SERVICE PATH: one HTTP request to a service, through the proxy of the task's node.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <ostream>

#include "cli/command.hpp"
#include "core/units.hpp"
#include "trireme/client.hpp"

namespace trireme::cli {
namespace {

struct RequestOptions {
  std::string service;
  std::string path;
  std::string method;
  std::string data;
  std::string timeout = "10m";
};

/// The text itself, or what is in the file behind an @.
Result<std::string> body_of(const std::string& data) {
  if (!data.starts_with('@')) return data;
  std::ifstream file(data.substr(1), std::ios::binary);
  std::string body{std::istreambuf_iterator<char>(file), {}};
  if (!file) return Error{"cannot be read", data.substr(1), "", ExitCode::usage};
  return body;
}

void request(const RequestOptions& options, Context& context) {
  const char* socket = std::getenv("TRIREME_SOCKET");
  const char* token = std::getenv("TRIREME_TOKEN");
  if (socket == nullptr) {
    return context.fail({"this is no task of a run: TRIREME_SOCKET is not set", "",
                         "services are reached from inside the tasks of their run", ExitCode::usage});
  }
  const auto timeout = parse_duration(options.timeout);
  if (!timeout) return context.fail(timeout.error());
  auto body = body_of(options.data);
  if (!body) return context.fail(body.error());
  const std::string method = options.method.empty() ? (options.data.empty() ? "GET" : "POST") : options.method;
  const Client client(socket, token != nullptr ? token : "");
  auto answer = client.request(options.service, method, options.path, *body,
                               std::chrono::ceil<std::chrono::milliseconds>(*timeout));
  if (!answer) return context.fail(answer.error());
  context.out << answer->body << std::flush;
  if (answer->status >= 400) {
    context.fail({"it answered with status " + std::to_string(answer->status), "service " + options.service, "",
                  ExitCode::failed});
  }
}

}  // namespace

void add_request(CLI::App& app, Context& context) {
  auto options = std::make_shared<RequestOptions>();
  CLI::App* command = app.add_subcommand("request", "Ask a service of the run, from inside a task");
  command->add_option("SERVICE", options->service, "name of the service")->required();
  command->add_option("PATH", options->path, "path at the service, e.g. /v1/completions")->required();
  command->add_option("--method,-X", options->method, "of HTTP (default: GET, or POST with data)");
  command->add_option("--data,-d", options->data, "the body; @FILE is what is in the file");
  command->add_option("--timeout", options->timeout, "for the whole answer");
  command->callback([options, &context] { request(*options, context); });
}

}  // namespace trireme::cli
