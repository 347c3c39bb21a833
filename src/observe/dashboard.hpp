// What the dashboard shows of a run: snapshots of its present, and the history of a few numbers (docs/spec/dashboard.md).
//
// Looks at the RunView, which the events have made, and keeps nothing of a run but these series, the counters that it saw last,
// and latencies as they were a moment ago; all bounded. sample() is to be called every defaults::dashboard_every and costs time in
// proportion to nodes and replicas, never to tasks. What a snapshot lists is bounded too, and says how much it leaves out. Pure;
// belongs to the pilot's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/latency.hpp"
#include "observe/pace.hpp"
#include "observe/run_view.hpp"
#include "observe/series.hpp"

namespace trireme::observe {

class Dashboard {
 public:
  Dashboard();
  ~Dashboard();

  /// Adds a point to the series.
  void sample(MonoTime now, WallTime wall, const RunView& run);
  /// JSON in one line: the run as it was at the last sample.
  std::string snapshot(const RunView& run) const;
  /// JSON in one line: all points that are kept.
  std::string history() const;

 private:
  struct Amounts {
    Resources used;
    Resources all;
    std::uint32_t nodes = 0;  ///< that are there
  };
  /// Latencies of a replica as they were: percentiles are of what came in since.
  struct Latencies {
    LatencyHistogram before;
    LatencyHistogram last;
  };
  struct Watched {
    std::string name;
    Pace pace;  ///< of its requests: counts of other ranks come as they please, so over some seconds
    LatencyHistogram recent;
    std::unordered_map<std::uint32_t, Latencies> replicas;
    std::unique_ptr<Series> series;  ///< of the first services
    std::vector<double> point;
  };
  void watch(Watched& watched, const ServiceRecord& service, const RunView& run, bool turn);
  nlohmann::ordered_json services_json(const RunView& run) const;
  nlohmann::ordered_json service_json(const ServiceRecord& service, const Watched* watched, const RunView& run,
                                      std::size_t& room) const;

  Series series_;
  std::vector<double> point_;
  Pace pace_;
  MonoTime sampled_ = 0;
  MonoTime turned_ = 0;  ///< when the latencies of now became those of before
  WallTime wall_ = 0;
  std::uint64_t ended_ = 0;  ///< tasks, at the last sample
  std::vector<Watched> services_;
  std::size_t latencies_ = 0;  ///< of replicas that are kept
  Amounts amounts_;
};

}  // namespace trireme::observe
