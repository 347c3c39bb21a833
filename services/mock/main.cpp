// trireme-mock: mock model servers, one or hundreds in a process. docs/guide/mock-server.md tells what they answer.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "services/mock/server.hpp"

namespace trireme::mock {
namespace {

struct Arguments {
  ServerOptions server;
  std::size_t servers = 1;
  std::size_t index = 0;
  std::vector<double> speeds{1};
  std::string faults;
  std::string start_delay = "0s";
  double step_ms = 6;
  double step_per_request_ms = 0.35;
  std::string addresses;
};

void declare(CLI::App& app, Arguments& arguments) {
  ServerOptions& server = arguments.server;
  CostModel& cost = server.cost;
  app.add_option("--servers", arguments.servers, "how many servers this process is")->check(CLI::PositiveNumber);
  app.add_option("--port", server.port, "of the first server on 127.0.0.1, the others follow; 0 takes free ones");
  app.add_option("--socket", server.path,
                 "listen on this unix socket instead; with several servers .0, .1, … is added");
  app.add_option("--addresses", arguments.addresses, "write the addresses, one a line, to this file once all listen");
  app.add_option("--index", arguments.index,
                 "of the first server: names it and picks its speed, as in --index {replica}");
  app.add_option("--model", server.model.names, "names of models that are listed")->delimiter(',');
  app.add_option("--key", server.key, "that requests must bear");
  app.add_option("--seed", server.seed, "of everything random");

  app.add_option("--speed", arguments.speeds,
                 "how fast the cost model's clock goes; of several, server i takes the i-th")
      ->delimiter(',');
  app.add_option("--prefill-rate", cost.prefill_rate, "prompt tokens per second")->check(CLI::PositiveNumber);
  app.add_option("--step-ms", arguments.step_ms, "of a step, whatever is in it");
  app.add_option("--step-per-request-ms", arguments.step_per_request_ms, "of a step, for each request in it");
  app.add_option("--max-batch", cost.max_batch, "requests in a step")->check(CLI::PositiveNumber);
  app.add_option("--kv-tokens", cost.kv_tokens, "tokens that the memory holds")->check(CLI::PositiveNumber);
  app.add_option("--output-tokens", server.model.output_tokens, "of an answer whose request sets no limit")
      ->check(CLI::PositiveNumber);

  app.add_option("--fault", arguments.faults,
                 "NAME[=VALUE][@PROBABILITY],…: slow=2s, hang, stall=5, reset=5, short, garbage, status=500");
  app.add_option("--start-delay", arguments.start_delay, "/health answers 503 for so long");
  app.add_option("--die-after", server.die_after, "the request of that number kills the server");
  app.add_flag("--hang-accept", server.hang_accept, "listen, but take no connection");
}

Status complete(Arguments& arguments) {
  const auto milliseconds = [](double value) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(value));
  };
  ServerOptions& server = arguments.server;
  server.cost.step_base = milliseconds(arguments.step_ms);
  server.cost.step_per_request = milliseconds(arguments.step_per_request_ms);
  if (!(arguments.step_ms > 0)) return Error{.what = "--step-ms: a step takes more than no time"};
  for (const double speed : arguments.speeds) {
    if (!(speed > 0)) return Error{.what = "--speed: a clock that stands still serves nobody"};
  }
  server.model.block = server.cost.block;
  auto faults = parse_faults(arguments.faults);
  if (!faults) return faults.error();
  server.faults = std::move(*faults);
  auto delay = parse_duration(arguments.start_delay);
  if (!delay) return delay.error();
  server.start_delay = *delay;
  return {};
}

ServerOptions options_of(const Arguments& arguments, std::size_t i) {
  ServerOptions options = arguments.server;
  const std::size_t index = arguments.index + i;
  options.name = std::to_string(index);
  options.speed = arguments.speeds[index % arguments.speeds.size()];
  options.seed += index;
  if (options.port != 0) options.port = static_cast<std::uint16_t>(options.port + i);
  if (!options.path.empty() && arguments.servers > 1) options.path += "." + std::to_string(i);
  return options;
}

Status write_addresses(const std::string& path, const std::vector<std::unique_ptr<Server>>& servers) {
  // Renamed into place: whoever waits for the file finds it whole.
  const std::string partial = path + ".part";
  std::ofstream file(partial);
  for (const auto& server : servers) file << server->address() << '\n';
  file.close();
  if (!file || std::rename(partial.c_str(), path.c_str()) != 0)
    return Error{.what = "cannot write the addresses", .where = path};
  return {};
}

Status serve(const Arguments& arguments) {
  boost::asio::io_context io(1);
  proxy::http::Loop loop(io);
  std::vector<std::unique_ptr<Server>> servers;
  std::size_t living = arguments.servers;
  // The last one's death is the process's, at once, as of a crash.
  const auto on_death = [&living] {
    if (--living == 0) std::_Exit(1);
  };
  for (std::size_t i = 0; i < arguments.servers; ++i) {
    auto server = Server::start(loop, options_of(arguments, i), on_death);
    if (!server) return server.error();
    servers.push_back(std::move(*server));
  }
  if (arguments.addresses.empty()) {
    for (const auto& server : servers) std::cout << server->address() << '\n';
    std::cout.flush();
  } else if (auto written = write_addresses(arguments.addresses, servers); !written) {
    return written;
  }
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](const boost::system::error_code&, int) { io.stop(); });
  io.run();
  return {};
}

}  // namespace
}  // namespace trireme::mock

int main(int argc, char** argv) {
  using namespace trireme::mock;
  CLI::App app("Mock model servers: OpenAI's and Ollama's API with the cost of a real engine and faults on request");
  Arguments arguments;
  declare(app, arguments);
  CLI11_PARSE(app, argc, argv);
  trireme::Status status = complete(arguments);
  if (status) status = serve(arguments);
  if (status) return 0;
  std::cerr << "trireme-mock: " << status.error().text() << '\n';
  return 2;
}
