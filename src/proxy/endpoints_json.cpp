#include "proxy/endpoints_json.hpp"

#include <nlohmann/json.hpp>

namespace trireme::proxy {

namespace {

using nlohmann::json;

const char* api_name(ServiceApi api) {
  switch (api) {
    case ServiceApi::openai:
      return "openai";
    case ServiceApi::ollama:
      return "ollama";
    case ServiceApi::native:
      return "native";
    case ServiceApi::http:
      break;
  }
  return "http";
}

json service_json(const EndpointTable& table, const Service& service) {
  const ServiceEndpoint& endpoint = service.endpoint;
  json out = {{"name", endpoint.name},   {"api", api_name(endpoint.api)}, {"home", endpoint.home},
              {"dead", service.dead()},  {"queue", endpoint.queue},       {"path", "/services/" + endpoint.name + "/"},
              {"models", json::array()}, {"replicas", json::array()}};
  for (const Model& model : endpoint.models) out["models"].push_back(model.name);
  for (const ReplicaEndpoint& replica : endpoint.replicas) {
    out["replicas"].push_back({{"name", table.name(replica.id)},
                               {"rank", replica.rank},
                               {"state", to_string(replica.state)},
                               {"concurrency", endpoint.concurrency}});
  }
  for (const Site& site : service.sites) {
    const RemoteEndpoint* remote = table.find_remote(site.id);
    if (remote == nullptr) continue;
    out["replicas"].push_back({{"name", table.name(site.id)},
                               {"rank", site.owner},
                               {"state", "ready"},
                               {"url", remote->url},
                               {"concurrency", site.concurrency}});
  }
  return out;
}

}  // namespace

std::string endpoints_json(const EndpointTable& table) {
  json out = {{"epoch", table.epoch()}, {"services", json::array()}};
  for (const auto& [index, service] : table.services()) {
    out["services"].push_back(service_json(table, service));
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace trireme::proxy
