// One warm executor process of this node: its start, its connection, the calls that it has been sent, its end.
//
//   starting --(hello on its connection)--> ready --(process or connection gone)--> over
//
// Calls are made in the order in which they were sent, so the first one that has no end is the one that runs: when the process
// dies, that call fails and those behind it, which had not begun, are given back to be made elsewhere; ends that it had not sent are
// read from its memory. What calls are sent behind others goes by what their functions took so far: a function that is not known, or
// not quick, has nothing sent behind it. While it has calls the executor holds the cores of one; between them it holds none. Belongs
// to the agent's loop.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/messages.hpp"
#include "node/node_context.hpp"
#include "node/processes.hpp"
#include "node/unsent_ends.hpp"
#include "services/executor/frames.hpp"

namespace trireme {

/// A function of which calls are made on this node.
struct KnownFunction {
  double seconds = 1e-3;  ///< that a call takes, smoothed
};

/// A call, from the order to its end.
struct FunctionTask {
  AttemptId id;
  KnownFunction* known = nullptr;
  double expected = 0;  ///< seconds, when it was sent
  FunctionCall function;
  Duration timeout{0};
  std::function<void(AttemptEnd)> over;
  std::optional<std::string> cancelled;  ///< why
};

class Executor final : public ProcessOwner, public std::enable_shared_from_this<Executor> {
 public:
  struct Hooks {
    /// It can take calls again.
    std::function<void()> room;
    /// It is over; `left` had not begun. `broken` says why no other would do better.
    std::function<void(Executor&, std::deque<FunctionTask> left, std::optional<std::string> broken)> over;
  };

  /// `log` is where its process writes, for people.
  Executor(NodeContext& node, std::uint64_t number, Resources each, std::string log, Hooks hooks);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Starts the process. `spawn` is complete but for its connection.
  void start(spawner::Spawn spawn, std::unique_ptr<UnsentEnds> unsent);
  /// Its process has called and said its number.
  void connected(boost::asio::local::stream_protocol::socket socket, executor::Reader reader);
  /// Whether it may be sent this call now: it has none, or the call and those before it take about a millisecond together.
  bool has_room_for(const FunctionTask& task) const;
  bool idle() const { return calls_.empty(); }
  void send(FunctionTask task);
  /// False if the call is not here.
  bool cancel(AttemptId id, const std::string& reason);
  /// The agent goes: nothing is called any more.
  void close();
  std::uint64_t number() const { return number_; }

  void on_process_started(ProcessId, const spawner::Started&) override {}
  void on_process_failed(ProcessId id, const spawner::Failed& report) override;
  void on_process_ended(ProcessId id, const spawner::Ended& report) override;
  void on_process_lost(ProcessId id, const Error& why) override;

 private:
  void flush_later();
  void flush();
  void read();
  void take_all(executor::Reader& frames);
  void take(const executor::Frame& frame);
  void end_front(AttemptEnd end);
  void watch_front();
  void on_deadline();
  void kill(AttemptEnd end_of_front);
  void hold();
  void release();
  bool may_run() const { return each_.cores == 0 || !held_.empty(); }
  void end(const AttemptEnd& of_front, std::optional<std::string> broken);

  NodeContext& node_;
  const std::uint64_t number_;
  const Resources each_;
  const std::string log_;
  Hooks hooks_;
  ProcessId process_ = 0;
  std::optional<boost::asio::local::stream_protocol::socket> socket_;
  executor::Reader reader_;
  std::unique_ptr<UnsentEnds> unsent_;
  std::vector<char> arrived_;
  std::string out_;      ///< frames that wait to be written
  std::string writing_;  ///< frames that are being written
  bool flushing_ = false;
  std::unordered_map<const KnownFunction*, std::uint32_t> functions_;  ///< those it knows, and their numbers
  std::deque<FunctionTask> calls_;                                     ///< sent and not ended; the first one runs
  std::uint64_t first_ = 0;                                            ///< number of the first of them
  double expected_ = 0;                                                ///< seconds that they take
  std::optional<AttemptEnd> verdict_;  ///< on the first of them, when the process was killed for it
  std::uint64_t verdict_on_ = 0;       ///< its number
  std::vector<Allocation> held_;
  std::optional<ResourceQueue::Ticket> asked_;
  boost::asio::steady_timer deadline_;
  bool over_ = false;
};

}  // namespace trireme
