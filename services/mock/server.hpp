// One mock server: where it listens, its engine, its faults, and the connections that it has.
//
// All servers of a process live on one event loop and one thread.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "proxy/http/loop.hpp"
#include "proxy/http/stream.hpp"
#include "services/mock/clocked_engine.hpp"
#include "services/mock/dialect.hpp"
#include "services/mock/faults.hpp"

namespace trireme::mock {

class Connection;

struct ServerOptions {
  std::string name = "0";  ///< what the X-Mock-Server header of its answers says
  std::string path;        ///< of the unix socket, or empty for
  std::uint16_t port = 0;  ///< on 127.0.0.1; 0 takes a free one
  ModelOptions model;
  CostModel cost;
  double speed = 1;
  std::vector<Fault> faults;  ///< unless a request names its own
  std::uint64_t seed = 1;
  Duration start_delay{0};      ///< /health says 503 for so long
  std::uint64_t die_after = 0;  ///< requests, the last of which is not answered; 0 for never
  bool hang_accept = false;     ///< connections are never taken
  std::string key;              ///< that requests must bear; empty for none
};

class Server final : private proxy::http::Resident {
 public:
  /// `on_death` is called when the server dies of `die_after`.
  static Result<std::unique_ptr<Server>> start(proxy::http::Loop& loop, ServerOptions options,
                                               std::function<void()> on_death);
  ~Server() override;

  /// "http://127.0.0.1:8000" or "unix:/path".
  std::string address() const;

  // For its connections.
  const ServerOptions& options() const { return options_; }
  ClockedEngine& engine() { return engine_; }
  bool ready() const;
  /// Counts a request. False when it was one too many: the server has closed all it had.
  bool count_request();
  std::optional<Fault> draw_fault(const std::vector<Fault>& faults) { return draw(faults, random_); }
  std::string stats() const;
  void closed(Connection& connection);

 private:
  Server(proxy::http::Loop& loop, ServerOptions options, std::function<void()> on_death);
  Status listen();
  void on_ready(proxy::http::Ready ready) override;
  void on_tail() override;
  void accept_all();
  void close_all();

  ServerOptions options_;
  std::function<void()> on_death_;
  proxy::http::Descriptor socket_;
  ClockedEngine engine_;
  std::mt19937_64 random_;
  const MonoTime started_ = mono_now();
  std::uint64_t requests_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace trireme::mock
