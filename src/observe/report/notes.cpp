#include "observe/report/notes.hpp"

#include <algorithm>

#include "core/defaults.hpp"

namespace trireme::observe::report {

void Notes::apply(const Event& event) {
  const auto& body = event.body;
  if (std::holds_alternative<events::RunStarted>(body)) {
    finish_incarnation();
    timeline_.begin(event.time);
    return;
  }
  timeline_.reach(event.time);
  if (const auto* declared = std::get_if<events::ServiceDeclared>(&body)) {
    on(*declared);
  } else if (const auto* counted = std::get_if<events::RequestsCounted>(&body)) {
    on(*counted, event.time);
  } else if (const auto* lost = std::get_if<events::NodeLost>(&body)) {
    on(*lost, event.time);
  } else if (std::holds_alternative<events::RunEnded>(body)) {
    timeline_.end(event.time);
    finish_incarnation();
  }
}

void Notes::close(WallTime present) {
  timeline_.reach(present);
  finish_incarnation();
}

const Notes::Service* Notes::find(const std::string& name) const {
  const auto found =
      std::find_if(services_.begin(), services_.end(), [&name](const Service& one) { return one.name == name; });
  return found != services_.end() ? &*found : nullptr;
}

void Notes::on(const events::ServiceDeclared& event) {
  std::size_t place = 0;
  while (place < services_.size() && services_[place].name != event.name) ++place;
  if (place == defaults::report_services) {
    by_index_.erase(event.service);
    return;
  }
  if (place == services_.size()) {
    const GrowingBins bins(4 * defaults::report_bins);
    services_.push_back({event.name, bins, bins, bins, {}, {}, {}});
  }
  by_index_[event.service] = place;
}

void Notes::on(const events::RequestsCounted& event, WallTime time) {
  const auto found = by_index_.find(event.sample.service);
  if (found == by_index_.end() || timeline_.spans().empty()) return;
  Service& service = services_[found->second];
  const auto [entry, is_first] = sources_.try_emplace({found->second, event.rank});
  Source& source = entry->second;
  if (is_first) source.at = timeline_.spans().back().offset;
  const Duration now = timeline_.at(time);
  const Duration before = source.at;
  keep(source, service, now);
  if (event.sample.requests > source.last.requests) {
    constexpr Duration shortest(millisecond);
    const Duration earliest = std::max(before, now - Duration(defaults::report_sample));
    const Duration since = std::max(std::min(earliest, now - shortest), Duration(0));
    const Duration until = std::max(now, since + shortest);
    const auto came = static_cast<double>(event.sample.requests - source.last.requests);
    service.requests.add(since, until, came / seconds(until - since));
  }
  source.active = 0;
  for (const ServiceSample::Load& load : event.sample.loads) source.active += load.active;
  source.queued = event.sample.queued;
  source.last = event.sample;
}

void Notes::on(const events::NodeLost& event, WallTime time) {
  for (auto& [key, source] : sources_) {
    if (key.second != event.rank) continue;
    keep(source, services_[key.first], timeline_.at(time));
    source.active = 0;
    source.queued = 0;
  }
}

/// What it said last has been so until then.
void Notes::keep(Source& source, Service& service, Duration until) {
  service.active.add(source.at, until, source.active);
  service.queued.add(source.at, until, source.queued);
  source.at = std::max(source.at, until);
}

/// Its counters have reached what they will.
void Notes::finish_incarnation() {
  for (auto& [key, source] : sources_) {
    Service& service = services_[key.first];
    keep(source, service, timeline_.total());
    service.response.add(source.last.response);
    for (const ServiceSample::Load& load : source.last.loads) {
      service.latency.add(load.latency);
      auto replica = service.replicas.find(load.replica);
      if (replica == service.replicas.end()) {
        if (replicas_ == defaults::report_replicas) continue;
        ++replicas_;
        replica = service.replicas.try_emplace(load.replica).first;
      }
      replica->second.add(load.latency);
    }
  }
  sources_.clear();
}

}  // namespace trireme::observe::report
