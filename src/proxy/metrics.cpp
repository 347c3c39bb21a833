#include "proxy/metrics.hpp"

#include <algorithm>
#include <charconv>

#include "proxy/endpoints.hpp"

namespace trireme::proxy {

namespace {

std::string number(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return std::string(text, end);
}

std::string escaped(std::string_view label) {
  std::string out;
  for (const char c : label) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

void describe(std::string& out, std::string_view metric, std::string_view type, std::string_view help) {
  out.append("# HELP ").append(metric).append(" ").append(help).append("\n# TYPE ");
  out.append(metric).append(" ").append(type).append("\n");
}

void line(std::string& out, std::string_view metric, std::string_view labels, const std::string& value) {
  out.append(metric).append("{").append(labels).append("} ").append(value).append("\n");
}

}  // namespace

void Metrics::Histogram::add(double seconds) {
  const auto bound = std::lower_bound(bounds_s.begin(), bounds_s.end(), seconds);
  if (bound != bounds_s.end()) ++buckets[static_cast<std::size_t>(bound - bounds_s.begin())];
  ++count;
  sum_s += seconds;
}

void Metrics::record(const RequestRecord& record) {
  Service& service = services_[record.service];
  ++service.requests[{record.replica, record.code}];
  service.duration.add(record.duration_s);
  if (record.first_byte_s >= 0) service.first_byte.add(record.first_byte_s);
  service.bytes_up += record.bytes_up;
  service.bytes_down += record.bytes_down;
  service.retries += record.retries;
  service.sample.service = record.service;
  ++service.sample.requests;
  service.sample.failed += record.failed ? 1 : 0;
  if (record.parts) {
    ResponseTimes& response = service.sample.response;
    response.communication.add(record.parts->communication);
    response.service.add(record.parts->service);
    response.inference.add(record.parts->inference);
  }
}

ServiceSample::Load& Metrics::load_of(ServiceSample& sample, std::uint32_t replica) {
  const auto found = std::find_if(sample.loads.begin(), sample.loads.end(),
                                  [&](const auto& entry) { return entry.replica == replica; });
  return found != sample.loads.end() ? *found : sample.loads.emplace_back(ServiceSample::Load{.replica = replica});
}

void Metrics::served(const ReplicaId& replica, bool failed, Duration took) {
  ServiceSample& sample = services_[replica.service].sample;
  sample.service = replica.service;
  auto found = std::find_if(sample.replicas.begin(), sample.replicas.end(),
                            [&](const auto& entry) { return entry.replica == replica.replica; });
  if (found == sample.replicas.end()) {
    found = sample.replicas.insert(found, {.replica = replica.replica, .requests = 0, .failed = 0});
  }
  ++found->requests;
  found->failed += failed ? 1 : 0;
  if (!failed) load_of(sample, replica.replica).latency.add(took);
}

std::string Metrics::text(const std::vector<ServiceGauges>& services, const std::vector<SiteGauges>& sites,
                          const std::map<int, std::uint64_t>& refused) const {
  std::string out;
  static const Service none;
  const auto each = [&](const auto& write_one) {
    for (const ServiceGauges& gauges : services) {
      const auto found = services_.find(gauges.service);
      write_one(gauges, found == services_.end() ? none : found->second, "service=\"" + escaped(gauges.name) + "\"");
    }
  };

  describe(out, "trireme_requests_total", "counter", "Requests of clients on this node that have ended.");
  each([&](const ServiceGauges&, const Service& service, const std::string& labels) {
    for (const auto& [key, count] : service.requests) {
      line(out, "trireme_requests_total",
           labels + ",replica=\"" + (key.first ? replica_name(*key.first) : "") + "\",code=\"" +
               std::to_string(key.second) + "\"",
           std::to_string(count));
    }
  });
  describe(out, "trireme_num_requests_running", "gauge", "Requests of clients on this node that replicas work on.");
  each([&](const ServiceGauges& gauges, const Service&, const std::string& labels) {
    line(out, "trireme_num_requests_running", labels, std::to_string(gauges.in_flight));
  });
  describe(out, "trireme_num_requests_waiting", "gauge", "Requests of clients on this node that wait for a slot.");
  each([&](const ServiceGauges& gauges, const Service&, const std::string& labels) {
    line(out, "trireme_num_requests_waiting", labels, std::to_string(gauges.waiting));
  });
  describe(out, "trireme_num_requests_queued", "gauge", "Requests in the service's queue, on its home rank.");
  each([&](const ServiceGauges& gauges, const Service&, const std::string& labels) {
    line(out, "trireme_num_requests_queued", labels, std::to_string(gauges.queued));
  });
  const auto counter = [&](std::string_view metric, std::string_view help, std::uint64_t Service::*value) {
    describe(out, metric, "counter", help);
    each([&](const ServiceGauges&, const Service& service, const std::string& labels) {
      line(out, metric, labels, std::to_string(service.*value));
    });
  };
  counter("trireme_request_bytes_total", "Bytes of request bodies, over all attempts.", &Service::bytes_up);
  counter("trireme_response_bytes_total", "Bytes of the bodies of answers.", &Service::bytes_down);
  counter("trireme_retries_total", "Attempts beyond a request's first.", &Service::retries);
  const auto histogram = [&](std::string_view metric, std::string_view help, Histogram Service::*value) {
    describe(out, metric, "histogram", help);
    each([&](const ServiceGauges&, const Service& service, const std::string& labels) {
      write(out, metric, labels, service.*value);
    });
  };
  histogram("trireme_request_duration_seconds", "From a request's head to the last byte of its answer.",
            &Service::duration);
  histogram("trireme_time_to_first_byte_seconds", "From a request's head to its answer's head.", &Service::first_byte);
  histogram("trireme_inter_token_latency_seconds", "Between two pieces of a streamed answer.", &Service::stream_pause);
  const auto site = [&](std::string_view metric, std::string_view type, std::string_view help, const auto& value) {
    describe(out, metric, type, help);
    for (const SiteGauges& gauges : sites) {
      line(out, metric, "service=\"" + escaped(gauges.service) + "\",replica=\"" + replica_name(gauges.replica) + "\"",
           std::to_string(value(gauges)));
    }
  };
  site("trireme_replica_requests_active", "gauge", "Slots in use or reserved on replicas of this node.",
       [](const SiteGauges& gauges) { return gauges.in_flight; });
  site("trireme_replica_health", "gauge", "1 where a replica of this node is given requests, else 0.",
       [](const SiteGauges& gauges) { return gauges.healthy ? 1 : 0; });
  site("trireme_replica_cb_state", "gauge", "Its circuit breaker: 0 closed, 1 open, 2 half-open.",
       [](const SiteGauges& gauges) { return int{gauges.breaker}; });
  site("trireme_replica_cb_opened_total", "counter", "How often that has opened.",
       [](const SiteGauges& gauges) { return gauges.times_opened; });
  describe(out, "trireme_refusals_total", "counter", "Requests that were refused before a service was found for them.");
  for (const auto& [code, count] : refused) {
    line(out, "trireme_refusals_total", "code=\"" + std::to_string(code) + "\"", std::to_string(count));
  }
  return out;
}

void Metrics::write(std::string& out, std::string_view metric, std::string_view labels, const Histogram& histogram) {
  const std::string name(metric);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds_s.size(); ++i) {
    below += histogram.buckets[i];
    line(out, name + "_bucket", std::string(labels) + ",le=\"" + number(bounds_s[i]) + "\"", std::to_string(below));
  }
  line(out, name + "_bucket", std::string(labels) + ",le=\"+Inf\"", std::to_string(histogram.count));
  line(out, name + "_sum", labels, number(histogram.sum_s));
  line(out, name + "_count", labels, std::to_string(histogram.count));
}

std::vector<ServiceSample> Metrics::take_samples(const std::vector<ServiceGauges>& services,
                                                 const std::vector<SiteGauges>& sites) {
  for (auto& [index, service] : services_) {
    for (ServiceSample::Load& load : service.sample.loads) load.active = 0;
  }
  for (const SiteGauges& site : sites) {
    if (site.in_flight == 0 || site.replica >= first_remote) continue;
    load_of(services_[site.index].sample, site.replica).active = site.in_flight;
  }
  std::vector<ServiceSample> samples;
  for (const ServiceGauges& gauges : services) {
    Service& service = services_[gauges.service];
    service.sample.service = gauges.service;
    service.sample.queued = static_cast<std::uint32_t>(gauges.queued);
    service.told.service = gauges.service;
    if (service.sample == service.told) continue;
    service.told = service.sample;
    samples.push_back(service.sample);
  }
  return samples;
}

}  // namespace trireme::proxy
