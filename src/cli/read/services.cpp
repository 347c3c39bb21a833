// trireme services RUN: the services of a run and their replicas.
#include <array>
#include <cstdio>
#include <map>
#include <ostream>

#include "cli/read/show.hpp"
#include "cli/read/table.hpp"
#include "core/replica_number.hpp"
#include "core/words.hpp"
#include "journal/response_json.hpp"

namespace trireme::cli {
namespace {

Json seconds_or_null(const std::optional<Duration>& duration) {
  return duration ? Json(seconds(*duration)) : Json();
}

std::string milliseconds(const std::optional<Duration>& took) {
  if (!took) return "-";
  std::array<char, 32> out{};
  std::snprintf(out.data(), out.size(), "%.3g ms", seconds(*took) * 1e3);
  return out.data();
}

std::string milliseconds(const LatencyHistogram& latency, double part) {
  return milliseconds(latency.quantile(part));
}

/// "llama: 12 answered, in 36.2 ms on average: communication 0.03 ms, service (waiting) 1.2 ms, inference 35 ms", or nothing.
std::string response_line(const std::string& service, const ResponseTimes& response) {
  const auto communication = response.communication.mean();
  const auto waiting = response.service.mean();
  const auto inference = response.inference.mean();
  if (!communication || !waiting || !inference) return {};
  return service + ": " + std::to_string(response.inference.histogram.count()) + " answered, in " +
         milliseconds(*communication + *waiting + *inference) + " on average: communication " +
         milliseconds(communication) + ", service (waiting) " + milliseconds(waiting) + ", inference " +
         milliseconds(inference) + "\n";
}

std::string short_seconds(const std::optional<Duration>& duration) {
  if (!duration) return "-";
  std::array<char, 32> out{};
  std::snprintf(out.data(), out.size(), "%.3f s", seconds(*duration));
  return out.data();
}

/// "2" in its first life, "2.1" in the next.
std::string life_name(const observe::ReplicaRecord& life) {
  return std::to_string(life.replica) + (life.attempt > 0 ? "." + std::to_string(life.attempt) : "");
}

Json parts_json(const observe::ReplicaRecord& life) {
  Json out = Json::array();
  for (const events::PlacedRanks& part : life.parts) {
    out.push_back({{"rank", part.rank}, {"local_ranks", part.local_ranks}});
  }
  return out;
}

Json replica_json(const observe::ReplicaRecord& life) {
  return {{"replica", life.replica},
          {"attempt", life.attempt},
          {"state", to_string(life.state)},
          {"rank", life.rank},
          {"parts", parts_json(life)},
          {"launch", life.launch_method},
          {"pid", life.pid},
          {"endpoint", life.endpoint},
          {"reason", life.reason},
          {"starting", time_or_null(life.starting)},
          {"ready", time_or_null(life.ready)},
          {"ended", time_or_null(life.ended)},
          {"launch_s", seconds_or_null(life.launch)},
          {"init_s", seconds_or_null(life.init)},
          {"publish_s", seconds_or_null(life.publish)}};
}

Json services_json(const LoadedRun& run) {
  Json out = Json::array();
  for (const observe::ServiceRecord& service : run.view.services()) {
    const observe::RequestCounts requests = run.view.requests(service);
    Json json{{"service", service.name},        {"replicas", service.replicas},
              {"ready", service.ready()},       {"remotes", service.remotes},
              {"models", service.models},       {"requests", requests.requests},
              {"failed", requests.failed},      {"queued", run.view.queued(service)},
              {"restarts", service.restarts()}, {"replica_requests", Json::object()},
              {"lives", Json::array()}};
    for (const auto& [replica, counts] : run.view.replica_requests(service)) {
      json["replica_requests"][replica_name(replica)] = counts.requests;
    }
    json["replica_loads"] = Json::object();
    for (const auto& [replica, load] : run.view.replica_loads(service)) {
      json["replica_loads"][replica_name(replica)] = {{"active", load.active},
                                                      {"p50_s", seconds_or_null(load.latency.quantile(0.5))},
                                                      {"p99_s", seconds_or_null(load.latency.quantile(0.99))}};
    }
    json["response"] = response_json(run.view.response(service));
    for (const observe::ReplicaRecord& life : service.lives) {
      json["lives"].push_back(replica_json(life));
    }
    out.push_back(std::move(json));
  }
  return out;
}

void print_services(const LoadedRun& run, std::ostream& out) {
  if (run.view.services().empty()) {
    out << "The run has no services.\n";
    return;
  }
  Table table({"SERVICE", "REPLICA", "STATE", "NODE", "LAUNCH", "INIT", "PUBLISH", "ACTIVE", "REQUESTS", "P50", "P99",
               "ENDPOINT"});
  for (const observe::ServiceRecord& service : run.view.services()) {
    auto counts = run.view.replica_requests(service);
    auto loads = run.view.replica_loads(service);
    for (const auto& [replica, count] : counts) {
      const observe::ReplicaRecord* life = service.newest(replica);
      if (life == nullptr) {
        table.add({service.name, replica_name(replica), replica < first_remote ? "waiting" : "remote", "-", "-", "-",
                   "-", std::to_string(loads[replica].active), std::to_string(count.requests),
                   milliseconds(loads[replica].latency, 0.5), milliseconds(loads[replica].latency, 0.99), "-"});
        continue;
      }
      table.add({service.name, life_name(*life), std::string(to_string(life->state)),
                 life->rank >= 0 ? life->nodes() : "-", short_seconds(life->launch), short_seconds(life->init),
                 short_seconds(life->publish), std::to_string(loads[replica].active), std::to_string(count.requests),
                 milliseconds(loads[replica].latency, 0.5), milliseconds(loads[replica].latency, 0.99),
                 life->endpoint.empty() ? "-" : life->endpoint});
    }
    if (service.remotes > 0 && counts.lower_bound(first_remote) == counts.end()) {
      table.add({service.name, "remote", std::to_string(service.remotes) + " endpoints", "-", "-", "-", "-", "-", "-",
                 "-", "-", "-"});
    }
    if (const std::uint64_t queued = run.view.queued(service); queued > 0) {
      table.add(
          {service.name, "queue", std::to_string(queued) + " requests", "-", "-", "-", "-", "-", "-", "-", "-", "-"});
    }
  }
  table.print(out);
  if (run.is_lost()) out << "The run ended without a word (killed?): this is how it was then.\n";
  // Why a replica is not, or was not always, there: of each the last reason, also where a newer life goes on.
  for (const observe::ServiceRecord& service : run.view.services()) {
    out << response_line(service.name, run.view.response(service));
    std::map<std::uint32_t, const observe::ReplicaRecord*> ended;
    for (const observe::ReplicaRecord& life : service.lives) {
      if (!life.reason.empty()) ended[life.replica] = &life;
    }
    for (const auto& [replica, life] : ended) {
      out << service.name << " replica " << life_name(*life) << ": " << printable(life->reason, Newlines::kept) << '\n';
    }
  }
}

}  // namespace

void add_services(CLI::App& app, Context& context) {
  add_display(app, context, {"services", "The services of a run and their replicas", services_json, print_services});
}

}  // namespace trireme::cli
