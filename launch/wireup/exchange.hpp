// Allgathers among the nodes of an attempt: what a PMIx fence and a PMI barrier come down to.
//
// The members stand in a tree by their place in the list: contributions go up as soon as a member has its own and those of all
// below it, the whole comes down. So no node has more than `fanout` + 1 neighbours, and the whole crosses each edge once.
// A contribution may come before the member itself has joined, or before it has heard of the attempt at all; what nobody joins
// is forgotten after a while. Pure: messages leave through a function, time is a parameter. Belongs to the agent's loop.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "core/units.hpp"
#include "launch/wireup/messages.hpp"

namespace trireme::wireup {

class Exchange {
 public:
  using Send = std::function<void(Rank to, Message message)>;
  /// What all members gave, in their order.
  using Done = std::function<void(std::vector<std::string> given)>;

  Exchange(Rank self, Send send) : self_(self), send_(std::move(send)) {}

  /// Gives this node's part. All members name the same members in the same order, this node among them. `done` may be called
  /// from inside, and is not called after forget().
  void join(const ExchangeKey& key, std::vector<Rank> members, std::string bytes, Done done, MonoTime now);
  void on(Contribution&& contribution, MonoTime now);
  void on(Gathered&& gathered);
  /// The attempt is over here: whatever it still awaits.
  void forget(LaunchId attempt);

  std::size_t open() const { return open_.size(); }

 private:
  struct State {
    std::vector<Rank> members;  ///< empty until this node has joined
    std::size_t place = 0;
    std::map<std::uint32_t, std::string> given;
    Done done;
    MonoTime since = 0;
  };
  using Open = std::map<ExchangeKey, State>;

  void advance(Open::iterator at);
  void finish(Open::iterator at, std::vector<std::string> given);
  void drop_unclaimed(MonoTime now);

  Rank self_;
  Send send_;
  Open open_;
};

}  // namespace trireme::wireup
