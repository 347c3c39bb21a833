// A run as a trace in the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing show.
//
// Each node is a process of the trace. Attempts and lives of replicas are slices on its rows; a row is used again when what it showed
// is over, so a node has as many rows as things ever ran on it at once. An arrow leads to each task from the one that it waited for
// last. Counters tell what of the node was in use, and what its services worked on and had waiting.
//
// Format: "Trace Event Format" of the Chromium project, its JSON Object Format; times are microseconds since the run began.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/events.hpp"
#include "observe/run_view.hpp"

namespace trireme::observe {

/// What a trace shows that a view does not keep. It is shown each event of the run, in order.
class TraceNotes {
 public:
  struct Load {
    WallTime time = 0;
    Rank rank = 0;
    std::string service;
    std::uint32_t active = 0;  ///< requests that its replicas on this node work on
    std::uint32_t queued = 0;  ///< and that wait here
  };
  struct Instant {
    WallTime time = 0;
    std::string text;
  };
  void apply(const Event& event);
  const std::vector<Load>& loads() const { return loads_; }
  const std::vector<Instant>& instants() const { return instants_; }

 private:
  std::unordered_map<ServiceIndex, std::string> services_;
  std::vector<Load> loads_;
  std::vector<Instant> instants_;
};

/// What still runs is shown up to `present`. Written slice by slice: a run of millions never stands in memory as text.
void write_trace(const RunView& view, const TraceNotes& notes, WallTime present, std::ostream& out);

}  // namespace trireme::observe
