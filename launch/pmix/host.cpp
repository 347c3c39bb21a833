#include "launch/pmix/host.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "core/units.hpp"
#include "launch/wireup/exchange.hpp"

namespace trireme::pmix {
namespace {

// PMIX_ERR_NOT_FOUND, which this side, without libpmix, has to say.
constexpr std::int32_t not_found = -46;

}  // namespace

std::string Host::name_of(LaunchId attempt) const {
  return "trireme." + std::to_string(::getuid()) + "." + context_.run.run_id + "." + attempt.text();
}

std::optional<Rank> Host::leader_of(const Space& space, std::uint32_t rank) const {
  for (const RankBlock& block : space.layout) {
    if (rank >= block.first_rank && rank - block.first_rank < block.local_ranks) {
      return context_.hosts.leader_of(block.node);
    }
  }
  return std::nullopt;
}

Host::ServerNumber Host::server_with_room() {
  if (!servers_.empty()) {
    const auto& [number, newest] = *servers_.rbegin();
    if (newest.opened < defaults::pmix_namespaces) return number;
  }
  const ServerNumber number = ++last_server_;
  auto process = std::make_shared<ServerProcess>(
      context_, number,
      ServerProcess::Events{.message = [this, number](FromServer message) { on_message(number, std::move(message)); },
                            .lost = [this, number](const std::string& why) { on_lost(number, why); },
                            .gone = [this, number] { processes_.erase(number); }});
  processes_.emplace(number, process);
  servers_[number].process = process.get();
  process->start();
  return number;
}

// ---- what agents of this host ask

void Host::on(Rank from, const wireup::OpenNamespace& request) {
  if (closed_) return context_.send(from, wireup::NamespaceOpened{request.attempt, "the run is over", {}});
  Space& space = spaces_[request.attempt];
  const bool first = space.openers.empty();
  space.openers.insert_or_assign(from, request);
  space.layout = request.layout;
  if (first) return open(request.attempt, space);
  if (space.open) answer(from, request, space);
}

void Host::open(LaunchId attempt, Space& space) {
  space.open = false;
  // One that is closing opens again where it was: what was sent there before is done first.
  if (by_name_.emplace(name_of(attempt), attempt).second) space.server = server_with_room();
  Server& server = servers_[space.server];
  ++server.opened;
  server.spaces.insert(attempt);
  server.process->send(describe(attempt, space));
}

Open Host::describe(LaunchId attempt, const Space& space) const {
  Open open;
  open.name = name_of(attempt);
  open.folder = context_.tmp_folder / ("mpi-" + attempt.text());
  std::map<std::uint32_t, std::size_t> places;  // of hosts, in the order in which they appear
  for (const RankBlock& block : space.layout) {
    const std::uint32_t host = context_.hosts.host_of(block.node);
    const auto [place, fresh] = places.emplace(host, places.size());
    if (fresh) {
      open.hosts.push_back(context_.hosts.name(host));
      open.host_ranks.emplace_back();
    }
    for (std::uint32_t i = 0; i < block.local_ranks; ++i) {
      open.host_ranks[place->second].push_back(block.first_rank + i);
    }
    open.size += block.local_ranks;
  }
  open.here = static_cast<std::uint32_t>(places.at(context_.hosts.host_of(context_.self)));
  return open;
}

void Host::answer(Rank opener, const wireup::OpenNamespace& request, const Space& space) {
  wireup::NamespaceOpened opened{request.attempt, "", {}};
  for (std::uint32_t i = 0; i < request.local_ranks; ++i) {
    const auto found = std::find_if(space.environment.begin(), space.environment.end(),
                                    [&](const RankEnvironment& one) { return one.rank == request.first_rank + i; });
    if (found == space.environment.end()) {
      opened.error = "the PMIx server does not know rank " + std::to_string(request.first_rank + i);
      break;
    }
    opened.environment.push_back(found->entries);
  }
  context_.send(opener, std::move(opened));
}

void Host::on(Rank from, const wireup::CloseNamespace& request) {
  const auto found = spaces_.find(request.attempt);
  if (found == spaces_.end() || found->second.openers.erase(from) == 0 || !found->second.openers.empty()) return;
  context_.exchange.forget(request.attempt);
  servers_[found->second.server].process->send(Close{name_of(request.attempt)});
}

void Host::on(ServerNumber, Closed& closed) {
  const auto name = by_name_.find(closed.name);
  if (name != by_name_.end() && spaces_.at(name->second).openers.empty()) forget(name->second);
}

void Host::forget(LaunchId attempt) {
  const auto found = spaces_.find(attempt);
  if (found == spaces_.end()) return;
  const ServerNumber number = found->second.server;
  context_.exchange.forget(attempt);
  by_name_.erase(name_of(attempt));
  spaces_.erase(found);
  std::erase_if(fetches_, [&](const auto& one) { return one.second.attempt == attempt; });
  const auto server = servers_.find(number);
  if (server == servers_.end()) return;
  server->second.spaces.erase(attempt);
  retire(number);
}

/// Ends a server that has opened its share, once it is idle.
void Host::retire(ServerNumber number) {
  const auto server = servers_.find(number);
  if (!server->second.spaces.empty() || server->second.opened < defaults::pmix_namespaces) return;
  ServerProcess* process = server->second.process;
  servers_.erase(server);
  process->close();
}

void Host::on(const wireup::RankLeft& request) {
  const auto found = spaces_.find(request.attempt);
  if (found == spaces_.end()) return;
  servers_[found->second.server].process->send(Left{name_of(request.attempt), request.rank});
}

// ---- what the server says

void Host::on_message(ServerNumber number, FromServer message) {
  std::visit([&](auto& one) { on(number, one); }, message);
}

void Host::on(ServerNumber, Opened& opened) {
  const auto name = by_name_.find(opened.name);
  if (name == by_name_.end()) return;
  const LaunchId attempt = name->second;
  Space& space = spaces_.at(attempt);
  if (!opened.error.empty()) {
    for (const auto& [opener, request] : space.openers) {
      context_.send(opener, wireup::NamespaceOpened{attempt, opened.error, {}});
    }
    return;
  }
  space.open = true;
  space.environment = std::move(opened.ranks);
  for (const auto& [opener, request] : space.openers) answer(opener, request, space);
}

void Host::on(ServerNumber number, Fence& fence) {
  const auto name = by_name_.find(fence.name);
  if (name == by_name_.end()) return;
  const LaunchId attempt = name->second;
  Space& space = spaces_.at(attempt);
  std::vector<Rank> members;
  std::string group = "pmix";
  if (fence.ranks.empty()) {
    for (const RankBlock& block : space.layout) members.push_back(context_.hosts.leader_of(block.node));
  }
  for (const std::uint32_t rank : fence.ranks) {
    if (const auto leader = leader_of(space, rank)) members.push_back(*leader);
    group += "," + std::to_string(rank);
  }
  std::sort(members.begin(), members.end());
  members.erase(std::unique(members.begin(), members.end()), members.end());
  const std::uint32_t count = space.fences[group]++;
  context_.exchange.join(
      {attempt, group, count}, std::move(members), std::move(fence.bytes),
      [this, number, call = fence.call](const std::vector<std::string>& given) {
        const auto server = servers_.find(number);
        if (server == servers_.end()) return;
        std::string all;
        for (const std::string& one : given) all += one;
        server->second.process->send(FenceDone{call, std::move(all)});
      },
      mono_now());
}

void Host::on(ServerNumber number, Modex& modex) {
  const auto name = by_name_.find(modex.name);
  if (name == by_name_.end()) return;
  const auto leader = leader_of(spaces_.at(name->second), modex.rank);
  if (!leader) {
    servers_[number].process->send(ModexDone{modex.call, not_found, ""});
    return;
  }
  context_.send(*leader, wireup::FetchRankData{name->second, modex.call, modex.rank});
}

void Host::on(Rank from, const wireup::FetchRankData& request) {
  const auto found = spaces_.find(request.attempt);
  if (found == spaces_.end()) {
    return context_.send(from, wireup::RankData{request.attempt, request.call, not_found, ""});
  }
  fetches_.emplace(++last_fetch_, FetchCall{from, request.call, request.attempt});
  servers_[found->second.server].process->send(Fetch{last_fetch_, name_of(request.attempt), request.rank});
}

void Host::on(ServerNumber, Fetched& fetched) {
  const auto found = fetches_.find(fetched.call);
  if (found == fetches_.end()) return;
  const FetchCall call = found->second;
  fetches_.erase(found);
  context_.send(call.asker, wireup::RankData{call.attempt, call.call, fetched.status, std::move(fetched.bytes)});
}

void Host::on(wireup::RankData& answer) {
  const auto found = spaces_.find(answer.attempt);
  if (found == spaces_.end()) return;
  servers_[found->second.server].process->send(ModexDone{answer.call, answer.status, std::move(answer.bytes)});
}

void Host::on(ServerNumber, Broken& broken) {
  const auto name = by_name_.find(broken.name);
  if (name == by_name_.end()) return;
  const Space& space = spaces_.at(name->second);
  const wireup::AttemptBroken told{name->second, static_cast<std::int32_t>(broken.rank), broken.exit_code, broken.what};
  // To the agent that has the rank: it ends the attempt for all, with the rank's last words. If that was its last one and all is
  // over there, to the others.
  for (const auto& [opener, request] : space.openers) {
    if (broken.rank >= request.first_rank && broken.rank - request.first_rank < request.local_ranks) {
      return context_.send(opener, told);
    }
  }
  for (const RankBlock& block : space.layout) context_.send(block.node, told);
}

void Host::on_lost(ServerNumber number, const std::string& why) {
  const auto server = servers_.find(number);
  if (server == servers_.end()) return;
  const std::set<LaunchId> spaces = std::move(server->second.spaces);
  servers_.erase(server);
  const std::string reason = "the PMIx server of host " + context_.hosts.name(context_.hosts.host_of(context_.self)) +
                             " was lost: " + why + "; its words are in " + context_.log_folder.string() + "/pmix-" +
                             std::to_string(number) + ".log";
  for (const LaunchId attempt : spaces) {
    const Space& space = spaces_.at(attempt);
    for (const auto& [opener, request] : space.openers) {
      if (space.open) {
        context_.send(opener, wireup::AttemptBroken{attempt, -1, 1, reason});
      } else {
        context_.send(opener, wireup::NamespaceOpened{attempt, reason, {}});
      }
    }
    forget(attempt);
  }
}

void Host::close() {
  closed_ = true;
  for (auto& [number, server] : std::exchange(servers_, {})) server.process->close();
}

}  // namespace trireme::pmix
