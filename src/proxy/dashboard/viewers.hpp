// The open pages: each is an answer that does not end, of server-sent events.
//
// A page gets the history once, then each snapshot. While its browser has not taken what it was given, snapshots pass it by; one that
// takes nothing for too long is let go. So a page holds at most one history and one snapshot in memory, and
// nothing waits for it. There are at most defaults::dashboard_viewers. Lives on the rank's event loop.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/units.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy::dashboard {

/// What the pilot's side has to tell.
struct News {
  std::string history;   ///< JSON in one line, for pages that have none; may be empty
  std::string snapshot;  ///< JSON in one line
  bool over = false;     ///< the last one
};

class Viewers {
 public:
  /// `changed` is called with how many there are now, and whether one has just come, which needs a history.
  Viewers(http::Loop& loop, std::function<void(std::size_t viewers, bool fresh)> changed, Duration stall);
  ~Viewers();
  Viewers(const Viewers&) = delete;
  Viewers& operator=(const Viewers&) = delete;

  bool full() const;
  /// Answers with events from now on.
  void add(std::unique_ptr<http::Exchange> exchange, http::Headers headers);
  void show(const News& news);
  /// Breaks all off.
  void clear();

 private:
  class Viewer;
  void forget(Viewer& viewer);

  http::Loop& loop_;
  std::function<void(std::size_t, bool)> changed_;
  const Duration stall_;
  std::unordered_map<Viewer*, std::unique_ptr<Viewer>> viewers_;
};

}  // namespace trireme::proxy::dashboard
