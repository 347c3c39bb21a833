// What rank 0's proxy answers under /dashboard: the page's files, and the events that it lives on (docs/spec/dashboard.md).
//
// Nothing here changes anything: it is GET only. Belongs to the event loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/defaults.hpp"
#include "core/run_info.hpp"
#include "core/units.hpp"
#include "proxy/dashboard/access.hpp"
#include "proxy/dashboard/viewers.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"

namespace trireme::proxy {

struct DashboardOptions {
  dashboard::Keys keys;
  /// The key has been used: gives the next one.
  std::function<std::string()> next_key;
  /// So many pages are open, and whether one has just come, which needs a history.
  std::function<void(std::size_t viewers, bool fresh)> on_viewers;
  Duration stall = defaults::dashboard_stall;  ///< a page that has taken nothing for so long is let go
};

namespace dashboard {

class Door {
 public:
  Door(http::Loop& loop, const RunInfo& run, DashboardOptions options);

  void handle(std::unique_ptr<http::Exchange> exchange);
  void show(const News& news) { viewers_.show(news); }
  void close() { viewers_.clear(); }

 private:
  void redeem(http::Exchange& exchange);
  void refuse(http::Exchange& exchange, Verdict verdict);

  const RunInfo& run_;
  DashboardOptions options_;
  Viewers viewers_;
};

}  // namespace dashboard
}  // namespace trireme::proxy
