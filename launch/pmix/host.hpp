// The agent that acts for its whole host: it runs the PMIx servers, knows which attempts have namespaces there, and carries
// fences and modex calls between its host and the others.
//
// Agents of virtual nodes on the host ask it to open and close; a namespace is open as long as one of them has ranks in it. A
// server takes a bounded number of namespaces, because libpmix keeps a little of each; then the next goes to a new server, and
// the old one ends with its last namespace. When a server is lost, the attempts that it serves are broken, and no others.
// Belongs to the agent's loop.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "launch/pmix/server_process.hpp"
#include "node/launch_method.hpp"

namespace trireme::pmix {

class Host {
 public:
  explicit Host(const LaunchContext& context) : context_(context) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void on(Rank from, const wireup::OpenNamespace& request);
  void on(Rank from, const wireup::CloseNamespace& request);
  void on(const wireup::RankLeft& request);
  void on(Rank from, const wireup::FetchRankData& request);
  void on(wireup::RankData& answer);
  /// Ends the servers.
  void close();

 private:
  struct Server {
    ServerProcess* process = nullptr;
    std::uint32_t opened = 0;  ///< namespaces, ever
    std::set<LaunchId> spaces;
  };
  using ServerNumber = std::uint32_t;
  struct Space {
    ServerNumber server = 0;
    std::vector<RankBlock> layout;
    std::map<Rank, wireup::OpenNamespace> openers;  ///< the agents on this host with ranks in it; none: it is closing
    bool open = false;
    std::vector<RankEnvironment> environment;
    std::map<std::string, std::uint32_t> fences;  ///< so far, by the ranks that take part
  };
  struct FetchCall {
    Rank asker;
    std::uint64_t call;
    LaunchId attempt;
  };

  ServerNumber server_with_room();
  void on_message(ServerNumber number, FromServer message);
  void on_lost(ServerNumber number, const std::string& why);
  void on(ServerNumber, Ready&) {}
  void on(ServerNumber number, Opened& opened);
  void on(ServerNumber number, Closed& closed);
  void on(ServerNumber number, Fence& fence);
  void on(ServerNumber number, Modex& modex);
  void on(ServerNumber number, Fetched& fetched);
  void on(ServerNumber number, Broken& broken);

  std::string name_of(LaunchId attempt) const;
  Open describe(LaunchId attempt, const Space& space) const;
  void open(LaunchId attempt, Space& space);
  void answer(Rank opener, const wireup::OpenNamespace& request, const Space& space);
  void forget(LaunchId attempt);
  void retire(ServerNumber number);
  /// The agent that acts for the host of a rank of the attempt; none if there is no such rank.
  std::optional<Rank> leader_of(const Space& space, std::uint32_t rank) const;

  const LaunchContext& context_;
  std::map<ServerNumber, Server> servers_;                            ///< that serve
  std::map<ServerNumber, std::shared_ptr<ServerProcess>> processes_;  ///< of these, and of those that are ending
  ServerNumber last_server_ = 0;
  std::map<LaunchId, Space> spaces_;
  std::map<std::string, LaunchId, std::less<>> by_name_;
  std::map<std::uint64_t, FetchCall> fetches_;  ///< of other hosts, at our servers
  std::uint64_t last_fetch_ = 0;
  bool closed_ = false;
};

}  // namespace trireme::pmix
