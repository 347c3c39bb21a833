// Function tasks on this node: a pool of warm executors for each kind, environment and size of calls, and for Python for each folder
// that modules are found in: two modules of one name are not one.
//
// A pool's calls wait in one queue, from which each executor takes as many as it makes in about a millisecond, so that short
// calls travel in batches and long ones do not wait behind each other. A pool grows by one executor whenever a call finds all of
// them busy, up to as many as fit the node's cores; they stay until the end of the run. One that dies is replaced.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <compare>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/messages.hpp"
#include "node/executor.hpp"
#include "node/node_context.hpp"

namespace trireme {

class Executors {
 public:
  explicit Executors(NodeContext& node);
  ~Executors();
  Executors(const Executors&) = delete;
  Executors& operator=(const Executors&) = delete;

  /// `over` is called once, never from inside this.
  void start(StartTask order, std::function<void(AttemptEnd)> over);
  /// False if there is no such call.
  bool cancel(AttemptId id, const std::string& reason);
  /// Everything that has not ended is cancelled.
  void cancel_all(const std::string& reason);
  bool contains(AttemptId id) const { return calls_.contains(id); }
  bool empty() const { return calls_.empty(); }

 private:
  struct Key {
    FunctionCall::Kind kind{};
    std::string folder;
    std::string environment;
    Resources each;
    auto operator<=>(const Key&) const = default;
  };
  struct Pool {
    Key key;
    std::size_t most = 1;                                      ///< executors
    std::unordered_map<std::string, KnownFunction> functions;  ///< by library and name
    std::deque<FunctionTask> queue;
    std::vector<std::shared_ptr<Executor>> executors;
    Environments::Made changes;
    std::optional<std::string> broken;  ///< why no executor can be had
    std::uint32_t broken_starts = 0;    ///< one after the other
    bool waiting_for_environment = false;
  };

  Pool& pool_of(const StartTask& order);
  void feed(Pool& pool);
  void add_executor(Pool& pool);
  Result<spawner::Spawn> plan(const Pool& pool, std::uint64_t number);
  void fail_queue(Pool& pool, const std::string& why);
  void on_over(Pool& pool, Executor& executor, std::deque<FunctionTask> left, std::optional<std::string> broken);
  Status listen();
  void accept();
  void greet(std::shared_ptr<boost::asio::local::stream_protocol::socket> socket);
  void later(std::function<void()> work);

  NodeContext& node_;
  std::filesystem::path socket_path_;
  std::optional<boost::asio::local::stream_protocol::acceptor> acceptor_;
  std::map<Key, Pool> pools_;
  std::unordered_map<AttemptId, Pool*> calls_;  ///< all that have not ended
  std::map<std::uint64_t, std::weak_ptr<Executor>> starting_;
  std::uint64_t last_number_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace trireme
