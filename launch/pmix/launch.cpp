#include "launch/pmix/launch.hpp"

#include <boost/asio/io_context.hpp>
#include <utility>

#include "core/defaults.hpp"
#include "launch/rank_defaults.hpp"

namespace trireme::pmix {
void PmixLaunch::prepare(const LaunchPart& part, MpiKind /*kind*/, LaunchEvents events) {
  Attempt attempt;
  attempt.host = context_.hosts.leader_of(context_.self);
  attempt.events = std::move(events);
  attempt.deadline = std::make_unique<boost::asio::steady_timer>(context_.loop, 2 * defaults::wireup_timeout);
  attempt.deadline->async_wait([this, id = part.id](boost::system::error_code cancelled) {
    if (cancelled) return;
    wireup::NamespaceOpened late{id, "the PMIx server did not answer in time", {}};
    on_opened(late);
  });
  context_.send(attempt.host, wireup::OpenNamespace{part.id, part.first_rank, part.local_ranks, part.layout});
  attempts_.insert_or_assign(part.id, std::move(attempt));
}

RankWiring PmixLaunch::wiring_of(const std::vector<std::string>& entries) const {
  RankWiring wiring;
  wiring.defaults = rank_defaults();
  for (const std::string& entry : entries) {
    const auto equals = entry.find('=');
    if (equals == std::string::npos) continue;
    // Settings of Open MPI are proposals; what PMIx needs is not.
    Variables& where = entry.starts_with("OMPI_MCA_") ? wiring.defaults : wiring.variables;
    where.insert_or_assign(entry.substr(0, equals), entry.substr(equals + 1));
  }
  // Open MPI 4 believes in a direct launch only where it sees a resource manager that it knows; of those that it looks for, this
  // one's variable has no other effect. Open MPI 5 does not ask.
  wiring.variables.insert_or_assign("JSM_JSRUN_PORT", "1");
  if (context_.shared_cores) wiring.defaults.emplace("OMPI_MCA_mpi_yield_when_idle", "1");
  return wiring;
}

void PmixLaunch::on_opened(wireup::NamespaceOpened& opened) {
  const auto found = attempts_.find(opened.attempt);
  if (found == attempts_.end() || !found->second.deadline) return;
  found->second.deadline.reset();
  const LaunchEvents events = found->second.events;
  if (!opened.error.empty()) return events.ready(Error{opened.error, "", ""});
  std::vector<RankWiring> wiring;
  for (const auto& entries : opened.environment) wiring.push_back(wiring_of(entries));
  events.ready(std::move(wiring));
}

void PmixLaunch::on_broken(const wireup::AttemptBroken& broken) {
  const auto found = attempts_.find(broken.attempt);
  if (found == attempts_.end() || found->second.deadline) return;
  const LaunchEvents events = found->second.events;
  LaunchTrouble trouble{std::nullopt, broken.exit_code, broken.reason};
  if (broken.rank >= 0) trouble.rank = static_cast<std::uint32_t>(broken.rank);
  events.broken(trouble);
}

void PmixLaunch::rank_left(LaunchId attempt, std::uint32_t rank) {
  const auto found = attempts_.find(attempt);
  if (found != attempts_.end()) context_.send(found->second.host, wireup::RankLeft{attempt, rank});
}

void PmixLaunch::release(LaunchId attempt) {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return;
  context_.send(found->second.host, wireup::CloseNamespace{attempt});
  attempts_.erase(found);
}

void PmixLaunch::on_message(Rank from, wireup::Message& message) {
  if (auto* opened = std::get_if<wireup::NamespaceOpened>(&message)) on_opened(*opened);
  if (auto* broken = std::get_if<wireup::AttemptBroken>(&message)) on_broken(*broken);
  if (auto* open = std::get_if<wireup::OpenNamespace>(&message)) host_.on(from, *open);
  if (auto* close = std::get_if<wireup::CloseNamespace>(&message)) host_.on(from, *close);
  if (auto* left = std::get_if<wireup::RankLeft>(&message)) host_.on(*left);
  if (auto* fetch = std::get_if<wireup::FetchRankData>(&message)) host_.on(from, *fetch);
  if (auto* data = std::get_if<wireup::RankData>(&message)) host_.on(*data);
}

void PmixLaunch::on_rank_lost(Rank rank) {
  std::vector<LaunchEvents> orphans;
  for (auto& [id, attempt] : attempts_) {
    if (attempt.host != rank) continue;
    if (attempt.deadline) {
      attempt.deadline.reset();
      orphans.push_back({.ready = attempt.events.ready, .broken = nullptr});
    } else {
      orphans.push_back({.ready = nullptr, .broken = attempt.events.broken});
    }
  }
  const std::string reason = "node " + std::to_string(rank) + ", which ran this host's PMIx server, was lost";
  for (const LaunchEvents& events : orphans) {
    if (events.ready) events.ready(Error{reason, "", ""});
    if (events.broken) events.broken({std::nullopt, 1, reason});
  }
}

}  // namespace trireme::pmix
