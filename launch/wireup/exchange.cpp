#include "launch/wireup/exchange.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/defaults.hpp"

namespace trireme::wireup {
namespace {

constexpr std::size_t fanout = defaults::wireup_fanout;

std::size_t parent_of(std::size_t place) {
  return (place - 1) / fanout;
}

/// The first place below `place`; the others follow it.
std::size_t first_child_of(std::size_t place) {
  return place * fanout + 1;
}

/// How many members stand at `place` and below, of `count` in all.
std::size_t tree_size(std::size_t place, std::size_t count) {
  std::size_t size = 0;
  std::size_t first = place;
  std::size_t width = 1;
  while (first < count) {
    size += std::min(width, count - first);
    first = first_child_of(first);
    width *= fanout;
  }
  return size;
}

}  // namespace

void Exchange::join(const ExchangeKey& key, std::vector<Rank> members, std::string bytes, Done done, MonoTime now) {
  const auto [at, made] = open_.try_emplace(key);
  State& state = at->second;
  if (made) state.since = now;
  state.members = std::move(members);
  const auto self = std::find(state.members.begin(), state.members.end(), self_);
  state.place = static_cast<std::size_t>(self - state.members.begin());
  state.given.insert_or_assign(static_cast<std::uint32_t>(state.place), std::move(bytes));
  state.done = std::move(done);
  advance(at);
}

void Exchange::on(Contribution&& contribution, MonoTime now) {
  drop_unclaimed(now);
  const auto [at, made] = open_.try_emplace(contribution.key);
  if (made) at->second.since = now;
  for (auto& [place, bytes] : contribution.given) at->second.given.insert_or_assign(place, std::move(bytes));
  advance(at);
}

void Exchange::on(Gathered&& gathered) {
  const auto at = open_.find(gathered.key);
  if (at == open_.end() || at->second.members.size() != gathered.given.size()) return;
  finish(at, std::move(gathered.given));
}

void Exchange::forget(LaunchId attempt) {
  const auto first = open_.lower_bound({attempt, "", 0});
  auto last = first;
  while (last != open_.end() && last->first.attempt == attempt) ++last;
  open_.erase(first, last);
}

/// Sends on what is complete here; nothing before this node has joined.
void Exchange::advance(Open::iterator at) {
  State& state = at->second;
  if (state.members.empty() || state.given.size() < tree_size(state.place, state.members.size())) return;
  if (state.place != 0) {
    Contribution up{at->first, {}};
    for (auto& [place, bytes] : state.given) up.given.emplace_back(place, std::move(bytes));
    state.given.clear();
    return send_(state.members[parent_of(state.place)], std::move(up));
  }
  std::vector<std::string> all;
  for (auto& [place, bytes] : state.given) all.push_back(std::move(bytes));
  finish(at, std::move(all));
}

void Exchange::finish(Open::iterator at, std::vector<std::string> given) {
  const State state = std::move(at->second);
  const ExchangeKey key = at->first;
  open_.erase(at);
  const std::size_t first = first_child_of(state.place);
  for (std::size_t child = first; child < std::min(first + fanout, state.members.size()); ++child) {
    send_(state.members[child], Gathered{key, given});
  }
  state.done(std::move(given));
}

void Exchange::drop_unclaimed(MonoTime now) {
  const auto limit = std::chrono::nanoseconds(defaults::wireup_unclaimed).count();
  std::erase_if(open_, [&](const auto& one) { return one.second.members.empty() && now - one.second.since > limit; });
}

}  // namespace trireme::wireup
