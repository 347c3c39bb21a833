// What agents say to each other so that the ranks of an MPI program, or of a replica, find each other (docs/spec/launch.md).
//
// Plain values, carried by the fabric as MessageKind::wireup. What is said of an attempt goes for a life of a replica as well.
// Three kinds of agents take part: those that hold some of its ranks, and, for the method `pmix`, on each host the one agent that runs the host's PMIx server for all of them.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/messages.hpp"
#include "core/result.hpp"

namespace trireme::wireup {

/// One allgather among the nodes of an attempt. Those of one group are numbered by each of its members in the same order.
struct ExchangeKey {
  LaunchId attempt;
  std::string group;  ///< which ranks take part; opaque, the same on all members
  std::uint32_t number = 0;
  auto operator<=>(const ExchangeKey&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, group, number);
  }
};

/// Up the tree: what a member and all below it give, by their place among the members.
struct Contribution {
  ExchangeKey key;
  std::vector<std::pair<std::uint32_t, std::string>> given;
  bool operator==(const Contribution&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(key, given);
  }
};

/// Down the tree: what all members gave, in their order.
struct Gathered {
  ExchangeKey key;
  std::vector<std::string> given;
  bool operator==(const Gathered&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(key, given);
  }
};

/// From an agent with ranks of a task to the one that runs its host's PMIx server: make the namespace known there.
struct OpenNamespace {
  LaunchId attempt;
  std::uint32_t first_rank = 0;
  std::uint32_t local_ranks = 0;
  std::vector<RankBlock> layout;
  bool operator==(const OpenNamespace&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, first_rank, local_ranks, layout);
  }
};

/// The answer: what each of those ranks finds in its environment; or why there is no namespace.
struct NamespaceOpened {
  LaunchId attempt;
  std::string error;                                  ///< empty: it is open
  std::vector<std::vector<std::string>> environment;  ///< NAME=value, for each rank from the first
  bool operator==(const NamespaceOpened&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, error, environment);
  }
};

/// The same way: a rank's process has ended with success, one of several.
struct RankLeft {
  LaunchId attempt;
  std::uint32_t rank = 0;
  bool operator==(const RankLeft&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, rank);
  }
};

/// The same way: its ranks are gone. The namespace goes when all that opened it have closed it.
struct CloseNamespace {
  LaunchId attempt;
  bool operator==(const CloseNamespace&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt);
  }
};

/// Back, or to all agents of the attempt: it cannot go on.
struct AttemptBroken {
  LaunchId attempt;
  std::int32_t rank = -1;  ///< that broke it; -1: none of them
  std::int32_t exit_code = 1;
  std::string reason;
  bool operator==(const AttemptBroken&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, rank, exit_code, reason);
  }
};

/// Between the agents that run PMIx servers: the data that one rank has published (direct modex).
struct FetchRankData {
  LaunchId attempt;
  std::uint64_t call = 0;  ///< the asker's number for it
  std::uint32_t rank = 0;
  bool operator==(const FetchRankData&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, call, rank);
  }
};
struct RankData {
  LaunchId attempt;
  std::uint64_t call = 0;
  std::int32_t status = 0;  ///< PMIx's
  std::string bytes;
  bool operator==(const RankData&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(attempt, call, status, bytes);
  }
};

/// From the agent that runs rank 0 of a replica to those that run other ranks of it: what rank 0 is started with, so that they
/// are started with the same. Nothing else is sent to them; it may come before the order to start.
struct HeadAddress {
  ReplicaId replica;
  std::string host;                ///< by which the other ranks' hosts reach rank 0's
  std::uint16_t meeting_port = 0;  ///< on that host, for the ranks among themselves; 0 where no template names it
  std::uint16_t port = 0;          ///< for requests
  std::string socket;
  std::string key;
  bool operator==(const HeadAddress&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(replica, host, meeting_port, port, socket, key);
  }
};

using Message = std::variant<Contribution, Gathered, OpenNamespace, NamespaceOpened, RankLeft, CloseNamespace,
                             AttemptBroken, FetchRankData, RankData, HeadAddress>;

std::string encode(const Message& message);
Result<Message> decode(std::string_view bytes);

}  // namespace trireme::wireup
