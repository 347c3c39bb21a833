// One running trireme-pmix, as its agent sees it: a process of the spawner's and a connection. Messages that come before it serves
// wait for that. Whatever ends it (a crash, a start that fails or takes too long) is told once. Belongs to the agent's loop.
#pragma once

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/pmix/protocol.hpp"
#include "node/launch_method.hpp"
#include "node/processes.hpp"

namespace trireme::pmix {

class ServerProcess final : public ProcessOwner, public std::enable_shared_from_this<ServerProcess> {
 public:
  struct Events {
    std::function<void(FromServer message)> message;
    std::function<void(const std::string& why)> lost;  ///< not after close()
    std::function<void()> gone;                        ///< the last: it may be destroyed now
  };

  /// `number` tells it from the other servers of this rank.
  ServerProcess(const LaunchContext& context, std::uint32_t number, Events events);

  /// Failures are told later, by `lost`.
  void start();
  void send(const ToServer& message);
  /// Nothing more is wanted of it: it ends when it has taken in what was sent.
  void close();

  void on_process_started(ProcessId, const spawner::Started&) override {}
  void on_process_failed(ProcessId id, const spawner::Failed& report) override;
  void on_process_ended(ProcessId id, const spawner::Ended& report) override;
  void on_process_lost(ProcessId id, const Error& why) override;

 private:
  using Socket = boost::asio::local::stream_protocol::socket;

  void connected(Socket socket);
  void read();
  void take();
  void flush();
  void lose(const std::string& why);
  void over(const std::string& why);
  void lose_later(const std::string& why);

  const LaunchContext& context_;
  const std::string name_;  ///< "pmix-3", of its folder and its log
  Events events_;
  boost::asio::steady_timer deadline_;
  ProcessId process_ = 0;
  std::string greeting_;
  std::optional<Socket> socket_;
  bool ready_ = false;
  bool over_ = false;
  bool closing_ = false;
  Reader<FromServer> reader_;
  std::array<char, 64u << 10> chunk_{};
  std::string waiting_;
  std::string leaving_;
};

}  // namespace trireme::pmix
