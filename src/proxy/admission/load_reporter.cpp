#include "proxy/admission/load_reporter.hpp"

#include <algorithm>

#include "core/defaults.hpp"

namespace trireme::proxy {

namespace {

constexpr MonoTime interest = Duration(defaults::load_interest).count();
constexpr MonoTime interval = Duration(defaults::load_interval).count();

}  // namespace

void LoadReporter::used(Rank by, ServiceIndex service, MonoTime now) {
  peers_[by].used[service] = now;
}

void LoadReporter::changed(const ReplicaId& replica) {
  if (!peers_.empty()) changed_.insert(replica);
}

MonoTime LoadReporter::tick(MonoTime now) {
  MonoTime next = 0;
  for (auto it = peers_.begin(); it != peers_.end();) {
    Peer& peer = it->second;
    std::erase_if(peer.used, [&](const auto& use) { return now - use.second > interest; });
    if (peer.used.empty()) {
      it = peers_.erase(it);
      continue;
    }
    for (const ReplicaId& replica : changed_) {
      if (peer.used.contains(replica.service)) peer.untold.insert(replica);
    }
    if (!peer.untold.empty()) {
      if (now - peer.told >= interval) {
        Load load;
        for (const ReplicaId& replica : peer.untold) {
          load.entries.push_back({.replica = replica, .load = slots_.load(replica)});
        }
        outbox_.send(it->first, std::move(load));
        peer.untold.clear();
        peer.told = now;
      } else if (const MonoTime due = peer.told + interval; next == 0 || due < next) {
        next = due;
      }
    }
    ++it;
  }
  changed_.clear();
  return next;
}

}  // namespace trireme::proxy
