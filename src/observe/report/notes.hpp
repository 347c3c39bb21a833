// What a report tells and a view does not keep: when the run was on, and what its services worked on over time.
//
// It is shown each event of the run, in order, and is of bounded size whatever the length of the run: samples go into bins as they
// come. Counters of requests start at 0 each time that the run begins, and come from each rank by itself; a sample's requests came in
// since that rank's last one, but no earlier than defaults::report_sample before it, since nothing is sent while nothing changes. What a
// service works on and has waiting stays as it is until the rank says otherwise, is lost, or the run ends. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/events.hpp"
#include "observe/report/bins.hpp"
#include "observe/report/timeline.hpp"

namespace trireme::observe::report {

class Notes {
 public:
  /// A service over the whole run.
  struct Service {
    std::string name;
    GrowingBins requests;  ///< per second
    GrowingBins active;
    GrowingBins queued;
    std::map<std::uint32_t, LatencyHistogram>
        replicas;              ///< how long their requests took, from the way to a replica to the last byte
    LatencyHistogram latency;  ///< the same, of all replicas
    ResponseTimes response;
  };

  void apply(const Event& event);
  /// All events have been shown; a run that has not ended is told up to `present`.
  void close(WallTime present);

  const Timeline& timeline() const { return timeline_; }
  /// In the order in which they were declared; not more than defaults::report_services.
  const std::vector<Service>& services() const { return services_; }
  /// Null where it is not among them.
  const Service* find(const std::string& name) const;

 private:
  struct Source {
    Duration at{0};  ///< the run's time at the last sample
    double active = 0;
    double queued = 0;
    ServiceSample last;
  };

  void on(const events::ServiceDeclared& event);
  void on(const events::RequestsCounted& event, WallTime time);
  void on(const events::NodeLost& event, WallTime time);
  void keep(Source& source, Service& service, Duration until);
  void finish_incarnation();

  Timeline timeline_;
  std::vector<Service> services_;
  std::unordered_map<ServiceIndex, std::size_t> by_index_;
  std::map<std::pair<std::size_t, Rank>, Source> sources_;  ///< of this incarnation, by service and rank
  std::size_t replicas_ = 0;                                ///< whose latencies are kept
};

}  // namespace trireme::observe::report
