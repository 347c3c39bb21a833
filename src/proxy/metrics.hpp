// Counts of requests, for /metrics (Prometheus text) and for the samples that the pilot logs.
//
// Pure: plain numbers, no clock. Belongs to the event loop.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/messages.hpp"

namespace trireme::proxy {

/// How a request of this rank's clients ended.
struct RequestRecord {
  ServiceIndex service;
  std::optional<std::uint32_t> replica;  ///< its number; none if it reached none
  int code = 0;                          ///< that the client was given; 499 if it left before
  bool failed = false;                   ///< answered with 5xx or 429 by us, or cut short
  double duration_s = 0;                 ///< from its head to the last byte of its answer
  double first_byte_s = -1;              ///< to the answer's head; negative: none came
  std::uint64_t bytes_up = 0;
  std::uint64_t bytes_down = 0;
  std::uint32_t retries = 0;

  /// Where the time of an answered request went (ResponseTimes).
  struct Parts {
    Duration communication{0};
    Duration service{0};
    Duration inference{0};
  };
  std::optional<Parts> parts;
};

/// What is so now, for a service.
struct ServiceGauges {
  ServiceIndex service;
  std::string name;
  std::uint64_t in_flight = 0;  ///< requests of this rank's clients that replicas work on
  std::uint64_t waiting = 0;    ///< requests of this rank's clients that wait for a slot
  std::uint64_t queued = 0;     ///< in the service's queue, where this rank is its home
};

/// What is so now, for a replica or remote endpoint whose slots this rank owns.
struct SiteGauges {
  std::string service;
  std::uint32_t replica = 0;
  std::uint32_t in_flight = 0;  ///< slots in use or reserved, for clients of all ranks
  bool healthy = true;          ///< it is given requests
  std::uint8_t breaker = 0;     ///< 0 closed, 1 open, 2 half-open
  std::uint32_t times_opened = 0;
  ServiceIndex index;
};

class Metrics {
 public:
  void record(const RequestRecord& record);
  /// Between two pieces of a streamed answer.
  void stream_pause(ServiceIndex service, double seconds) { services_[service].stream_pause.add(seconds); }
  /// A replica of this rank was tried for a client of whichever rank, and was done with it after `took`.
  void served(const ReplicaId& replica, bool failed, Duration took);

  /// Prometheus text format 0.0.4. `refused` are requests that found no service, by status.
  std::string text(const std::vector<ServiceGauges>& services, const std::vector<SiteGauges>& sites,
                   const std::map<int, std::uint64_t>& refused) const;
  /// The samples of services whose numbers have changed since the last call.
  std::vector<ServiceSample> take_samples(const std::vector<ServiceGauges>& services,
                                          const std::vector<SiteGauges>& sites);

 private:
  static constexpr std::array bounds_s = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,   0.25, 0.5,
                                          1.0,   2.5,    5.0,   10.0, 25.0,  50.0, 100.0, 250.0};
  struct Histogram {
    std::array<std::uint64_t, bounds_s.size()> buckets{};  ///< not cumulative
    std::uint64_t count = 0;
    double sum_s = 0;
    void add(double seconds);
  };
  struct Service {
    std::map<std::pair<std::optional<std::uint32_t>, int>, std::uint64_t> requests;  ///< by replica and code
    Histogram duration;
    Histogram first_byte;
    Histogram stream_pause;
    std::uint64_t bytes_up = 0;
    std::uint64_t bytes_down = 0;
    std::uint64_t retries = 0;
    ServiceSample sample;
    ServiceSample told;
  };
  static ServiceSample::Load& load_of(ServiceSample& sample, std::uint32_t replica);
  static void write(std::string& out, std::string_view metric, std::string_view labels, const Histogram& histogram);

  std::map<ServiceIndex, Service> services_;
};

}  // namespace trireme::proxy
