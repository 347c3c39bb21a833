#include "observe/report/services.hpp"

#include <unordered_map>

#include "core/defaults.hpp"
#include "core/replica_number.hpp"
#include "journal/response_json.hpp"
#include "observe/json_values.hpp"
#include "observe/report/spread.hpp"

namespace trireme::observe::report {
namespace {

OrderedJson seconds_of(const std::optional<Duration>& duration) {
  return duration ? OrderedJson(seconds(*duration)) : OrderedJson();
}

OrderedJson latency_json(const LatencyHistogram& latency) {
  return {{"p50_s", seconds_of(latency.quantile(0.5))},
          {"p90_s", seconds_of(latency.quantile(0.9))},
          {"p99_s", seconds_of(latency.quantile(0.99))}};
}

OrderedJson bootstrap_json(const ServiceRecord& service) {
  OrderedJson out = OrderedJson::object();
  for (const auto& [name, field] : {std::pair{"launch_s", &ReplicaRecord::launch},
                                    {"init_s", &ReplicaRecord::init},
                                    {"publish_s", &ReplicaRecord::publish}}) {
    std::vector<double> values;
    for (const ReplicaRecord& life : service.lives) {
      if (life.*field) values.push_back(seconds(*(life.*field)));
    }
    out[name] = spread_json(values);
  }
  return out;
}

OrderedJson life_json(const ReplicaRecord& life) {
  return {{"replica", replica_name(life.replica)},
          {"attempt", life.attempt},
          {"incarnation", life.incarnation},
          {"state", to_string(life.state)},
          {"nodes", cut_short(life.nodes(), defaults::report_name)},
          {"starting", time_of(life.starting)},
          {"ready", time_of(life.ready)},
          {"ended", time_of(life.ended)},
          {"launch_s", seconds_of(life.launch)},
          {"init_s", seconds_of(life.init)},
          {"publish_s", seconds_of(life.publish)},
          {"reason", cut_short(life.reason, defaults::dashboard_reason)}};
}

/// Requests of a replica, in all of its lives.
OrderedJson replica_json(std::uint32_t replica, const RequestCounts& counts, const Notes::Service* noted) {
  OrderedJson out{{"replica", replica_name(replica)}, {"requests", counts.requests}, {"failed", counts.failed}};
  LatencyHistogram latency;
  if (noted != nullptr) {
    if (const auto found = noted->replicas.find(replica); found != noted->replicas.end()) latency = found->second;
  }
  out.update(latency_json(latency));
  return out;
}

OrderedJson service_json(const RunView& run, const ServiceRecord& service, const Notes::Service* noted,
                         std::size_t& room_for_lives, std::size_t& room_for_replicas) {
  OrderedJson lives = OrderedJson::array();
  for (const ReplicaRecord& life : service.lives) {
    if (room_for_lives == 0) break;
    --room_for_lives;
    lives.push_back(life_json(life));
  }
  const auto by_replica = run.replica_requests(service);
  OrderedJson replicas = OrderedJson::array();
  for (const auto& [replica, counts] : by_replica) {
    if (room_for_replicas == 0) break;
    --room_for_replicas;
    replicas.push_back(replica_json(replica, counts, noted));
  }
  OrderedJson models = OrderedJson::array();
  for (const std::string& model : service.models) {
    if (models.size() == defaults::report_models) break;
    models.push_back(cut_short(model, defaults::report_name));
  }
  const RequestCounts requests = run.requests(service);
  const std::size_t more_lives = service.lives.size() - lives.size();
  const std::size_t more_replicas = by_replica.size() - replicas.size();
  OrderedJson out{{"name", cut_short(service.name, defaults::report_name)},
                  {"models", std::move(models)},
                  {"replicas", service.replicas},
                  {"remotes", service.remotes},
                  {"ranks", service.ranks},
                  {"cores", service.per_replica.cores},
                  {"gpus", static_cast<double>(service.per_replica.gpus) / whole_gpu},
                  {"restarts", service.restarts()},
                  {"requests", requests.requests},
                  {"failed", requests.failed}};
  out.update(latency_json(noted != nullptr ? noted->latency : LatencyHistogram()));
  out["response"] = response_json(noted != nullptr ? noted->response : ResponseTimes());
  out["bootstrap"] = bootstrap_json(service);
  out["lives"] = {{"rows", std::move(lives)}, {"more", more_lives}};
  out["by_replica"] = {{"rows", std::move(replicas)}, {"more", more_replicas}};
  return out;
}

}  // namespace

OrderedJson services_json(const RunView& run, const Notes& notes) {
  OrderedJson rows = OrderedJson::array();
  std::size_t room_for_lives = defaults::report_replicas;
  std::size_t room_for_replicas = defaults::report_replicas;
  for (const ServiceRecord& service : run.services()) {
    if (rows.size() == defaults::report_services) break;
    rows.push_back(service_json(run, service, notes.find(service.name), room_for_lives, room_for_replicas));
  }
  const std::size_t more = run.services().size() - rows.size();
  return {{"rows", std::move(rows)}, {"more", more}};
}

}  // namespace trireme::observe::report
