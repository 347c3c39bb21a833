// Each preset becomes a service that can be started, with the command and the probe that its server's documentation names.
#include "workflow/presets.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "dump.hpp"
#include "workflow/load.hpp"

using namespace trireme;

namespace {

ServiceDescription load_service(const std::string& body) {
  const LoadResult loaded = load_workflow_text("services:\n  s: {" + body + "}\n", "flow.yaml", "/flow");
  std::string errors;
  for (const Diagnostic& error : loaded.errors) errors += error.text() + "\n";
  REQUIRE_MESSAGE(loaded.ok(), errors);
  CHECK(loaded.warnings.empty());
  return loaded.workflow.services.at(0);
}

std::string command_of(const ServiceDescription& service) {
  std::string out;
  for (const Template& word : service.command) out += (out.empty() ? "" : " ") + word.source();
  return out;
}

std::string error_of(const std::string& body) {
  const LoadResult loaded = load_workflow_text("services:\n  s: {" + body + "}\n", "flow.yaml", "/flow");
  return loaded.errors.empty() ? "" : loaded.errors.front().text();
}

}  // namespace

TEST_CASE("each preset renders to a command and probes") {
  struct Expected {
    std::string command;
    std::string ready;
    ServiceApi api;
  };
  const std::map<std::string, Expected> expected{
      {"vllm", {"vllm serve m --host 127.0.0.1 --port {port} --tensor-parallel-size 1", "/health", ServiceApi::openai}},
      {"llama.cpp",
       {"llama-server --model m --host 127.0.0.1 --port {port} --threads 4 --parallel 4", "/health",
        ServiceApi::openai}},
      {"ollama", {"ollama serve", "/api/version", ServiceApi::ollama}},
      {"triton",
       {"tritonserver --model-repository m --http-address 127.0.0.1 --http-port {port} --allow-grpc=false "
        "--allow-metrics=false",
        "/v2/health/ready", ServiceApi::http}},
      {"scikit-learn", {"python3 -m trireme.serve sklearn m --port {port}", "/health", ServiceApi::http}},
      {"pytorch", {"python3 -m trireme.serve pytorch m --port {port}", "/health", ServiceApi::http}},
  };
  CHECK(workflow::presets().size() == expected.size());
  for (const workflow::Preset& preset : workflow::presets()) {
    CAPTURE(preset.name);
    REQUIRE(expected.contains(std::string(preset.name)));
    const Expected& wanted = expected.at(std::string(preset.name));
    const ServiceDescription service = load_service("preset: " + std::string(preset.name) + ", model: m");
    CHECK(command_of(service) == wanted.command);
    CHECK(service.ready.kind == Probe::Kind::http);
    CHECK(service.ready.argument.source() == wanted.ready);
    CHECK(service.live.has_value());
    CHECK(service.api == wanted.api);
    CHECK(preset.text.find("# https://") != std::string_view::npos);  // the server's own documentation
    if (wanted.api != ServiceApi::http) CHECK(service.models == std::vector<Model>{{.name = "m"}});
  }
}

TEST_CASE("what stands beside a preset wins, options are appended, and GPUs are passed on") {
  const ServiceDescription service = load_service(
      "preset: vllm, model: org/big, gpus: 4, options: [--max-model-len, '8192'], replicas: 2, "
      "env: {VLLM_DO_NOT_TRACK: '0', MORE: x}, models: [{name: big, upstream: org/big}]");
  CHECK(command_of(service) ==
        "vllm serve org/big --host 127.0.0.1 --port {port} --tensor-parallel-size 4 --max-model-len 8192");
  CHECK(service.per_rank.gpus == 4 * whole_gpu);
  CHECK(service.replicas == 2);
  CHECK(service.env.at("VLLM_DO_NOT_TRACK").source() == "0");
  CHECK(service.env.at("VLLM_API_KEY").source() == "{key}");
  CHECK(service.env.contains("MORE"));
  CHECK(service.models == std::vector<Model>{{.name = "big", .upstream = "org/big"}});
}

TEST_CASE("either spelling of what a rank gets stands for a preset's") {
  const ServiceDescription service =
      load_service("preset: vllm, model: m, gpus_per_rank: 2, cores_per_rank: 3, ranks: 2");
  CHECK(service.per_rank.gpus == 2 * whole_gpu);
  CHECK(service.per_rank.cores == 3);
  CHECK(command_of(service).find("--tensor-parallel-size 2") != std::string::npos);
}

TEST_CASE("a preset that is not there, or has no model, is said where it was named") {
  CHECK(error_of("preset: vlm, model: m").find("did you mean \"vllm\"?") != std::string::npos);
  CHECK(error_of("preset: vllm").find("model is missing") != std::string::npos);
  CHECK(error_of("command: [x, '{port}'], model: m").find("unknown key") != std::string::npos);
}
