#include "node/hosts.hpp"

#include <utility>

namespace trireme {

Hosts::Hosts(std::vector<std::uint32_t> host_of, std::vector<std::string> names, bool dedicated_pilot)
    : host_of_(std::move(host_of)), names_(std::move(names)) {
  if (dedicated_pilot) lost_.insert(pilot_rank);
}

std::uint32_t Hosts::host_of(Rank rank) const {
  return host_of_.empty() ? 0 : host_of_[static_cast<std::size_t>(rank)];
}

Rank Hosts::leader_of(Rank rank) const {
  if (host_of_.empty()) return rank;
  for (std::size_t other = 0; other < host_of_.size(); ++other) {
    const auto candidate = static_cast<Rank>(other);
    if (host_of_[other] == host_of(rank) && !lost_.contains(candidate)) return candidate;
  }
  return rank;
}

}  // namespace trireme
