#include "journal/export_json.hpp"

#include <nlohmann/json.hpp>

#include "journal/response_json.hpp"

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;

/// 250 is 0.25; whole GPUs stay whole numbers.
Json gpu_count(MilliGpus gpus) {
  if (gpus % whole_gpu == 0) return gpus / whole_gpu;
  return static_cast<double>(gpus) / whole_gpu;
}

void put_resources(Json& json, const Resources& resources, const std::string& suffix) {
  json["cores" + suffix] = resources.cores;
  json["gpus" + suffix] = gpu_count(resources.gpus);
  json["memory" + suffix] = resources.memory;
}

/// Adds the fields of each kind, in the order of the specification.
struct Fields {
  Json& json;
  const EventNames& names;

  void put_attempt(const AttemptId& attempt) const {
    json["task"] = names.task(attempt.task);
    json["attempt"] = attempt.attempt;
  }
  void put_replica(const ReplicaId& replica) const {
    json["service"] = names.service(replica.service);
    json["replica"] = replica.replica;
    json["attempt"] = replica.attempt;
  }

  void operator()(const events::RunStarted& event) const {
    json["run_id"] = event.run_id;
    json["name"] = event.name;
    json["version"] = event.version;
    json["workflow_file"] = event.workflow_file;
    json["ranks"] = event.ranks;
    json["settings"] = event.settings;
  }
  void operator()(const events::NodeJoined& event) const {
    json["rank"] = event.rank;
    json["host"] = event.host;
    put_resources(json, event.resources, "");
  }
  void operator()(const events::NodeLost& event) const {
    json["rank"] = event.rank;
    json["reason"] = event.reason;
  }
  void operator()(const events::TaskSubmitted& event) const {
    json["task"] = event.id;
    json["name"] = event.name;
    json["ranks"] = event.ranks;
    put_resources(json, event.per_rank, "_per_rank");
    json["priority"] = event.priority;
    json["retries"] = event.retries;
    json["after"] = event.after;
    json["services"] = event.services;
    json["command"] = event.command;
  }
  void operator()(const events::TaskChanged& event) const {
    json["task"] = names.task(event.task);
    json["state"] = to_string(event.state);
    json["reason"] = event.reason;
  }
  void operator()(const events::AttemptPlaced& event) const {
    put_attempt(event.attempt);
    json["rank"] = event.rank;
    json["local_ranks"] = event.local_ranks;
  }
  void operator()(const events::AttemptStarted& event) const {
    put_attempt(event.attempt);
    json["rank"] = event.rank;
    json["pid"] = event.pid;
    json["started"] = epoch_seconds(event.started);
    json["cores"] = event.cores;
    json["gpus"] = event.gpus;
    if (!event.launch.empty()) json["launch"] = event.launch;
  }
  void operator()(const events::AttemptEnded& event) const {
    put_attempt(event.attempt);
    json["rank"] = event.rank;
    json["outcome"] = to_string(event.end.outcome);
    json["exit_code"] = event.end.exit_code;
    json["signal"] = event.end.signal;
    json["reason"] = event.end.reason;
    json["max_rss"] = event.end.usage.max_rss;
    json["user_s"] = seconds(event.end.usage.user);
    json["system_s"] = seconds(event.end.usage.system);
    json["started"] = epoch_seconds(event.end.started);
    json["ended"] = epoch_seconds(event.end.ended);
    if (!event.end.result.empty()) json["result"] = Json::parse(event.end.result, nullptr, false);
  }
  void operator()(const events::ServiceDeclared& event) const {
    json["service"] = event.name;
    json["replicas"] = event.replicas;
    put_resources(json, event.per_replica, "_per_replica");
    json["ranks_per_replica"] = std::max(event.ranks, 1u);
    json["models"] = event.models;
    json["remotes"] = event.remotes;
  }
  void operator()(const events::ReplicaChanged& event) const {
    put_replica(event.replica);
    json["state"] = to_string(event.state);
    json["rank"] = event.rank;
    json["pid"] = event.pid;
    json["endpoint"] = event.endpoint;
    json["reason"] = event.reason;
    json["took_s"] = seconds(event.took);
    if (!event.launch.empty()) json["launch"] = event.launch;
    if (event.parts.empty()) return;
    json["parts"] = Json::array();
    for (const events::PlacedRanks& part : event.parts) {
      json["parts"].push_back({{"rank", part.rank}, {"local_ranks", part.local_ranks}});
    }
  }
  void operator()(const events::EpochPublished& event) const {
    json["number"] = event.number;
    json["took_s"] = seconds(event.took);
    json["ready"] = Json::array();
    for (const ReplicaId& replica : event.ready) {
      Json one;
      Fields{one, names}.put_replica(replica);
      json["ready"].push_back(std::move(one));
    }
  }
  void operator()(const events::RequestsCounted& event) const {
    json["rank"] = event.rank;
    json["service"] = names.service(event.sample.service);
    json["requests"] = event.sample.requests;
    json["failed"] = event.sample.failed;
    json["queued"] = event.sample.queued;
    json["replicas"] = Json::array();
    for (const ServiceSample::PerReplica& one : event.sample.replicas) {
      json["replicas"].push_back({{"replica", one.replica}, {"requests", one.requests}, {"failed", one.failed}});
    }
    json["loads"] = Json::array();
    for (const ServiceSample::Load& one : event.sample.loads) {
      const auto within = [&one](double part) {
        const auto took = one.latency.quantile(part);
        return took ? Json(seconds(*took)) : Json();
      };
      json["loads"].push_back(
          {{"replica", one.replica}, {"active", one.active}, {"p50_s", within(0.5)}, {"p99_s", within(0.99)}});
    }
    json["response"] = response_json(event.sample.response);
  }
  void operator()(const events::Warning& event) const { json["text"] = event.text; }
  void operator()(const events::RunDraining& event) const { json["reason"] = event.reason; }
  void operator()(const events::WorkflowGrew& event) const {
    json["submission"] = event.number;
    json["text"] = event.text;
  }
  void operator()(const events::RunEnded& event) const {
    json["state"] = to_string(event.state);
    json["exit_code"] = event.exit_code;
    json["reason"] = event.reason;
  }
};

}  // namespace

std::string JsonLines::line(const Event& event) {
  names_.learn(event.body);
  Json json;
  json["time"] = epoch_seconds(event.time);
  json["event"] = kind_name(event.body);
  std::visit(Fields{json, names_}, event.body);
  // Names and reasons may hold bytes that are no UTF-8; JSON may not.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace trireme
