// Which ranks of the runtime share a host: virtual nodes do, and MPI tasks must know, because ranks on one host talk through
// its memory and are served by one PMIx server. Plain data, gathered once when the run begins.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/ids.hpp"

namespace trireme {

class Hosts {
 public:
  /// One rank alone on its host.
  explicit Hosts(std::string name = "localhost") : names_{std::move(name)} {}
  /// `host_of[rank]` numbers the hosts from 0, `names[host]` is what each calls itself. Rank 0 has no agent where the pilot is
  /// dedicated.
  Hosts(std::vector<std::uint32_t> host_of, std::vector<std::string> names, bool dedicated_pilot);

  std::uint32_t host_of(Rank rank) const;
  const std::string& name(std::uint32_t host) const { return names_[host]; }
  /// The agent that acts for all on that rank's host: the first that lives.
  Rank leader_of(Rank rank) const;
  void lose(Rank rank) { lost_.insert(rank); }

 private:
  std::vector<std::uint32_t> host_of_;
  std::vector<std::string> names_;
  std::set<Rank> lost_;  ///< and those that have no agent
};

}  // namespace trireme
