// A client's connection to a mock server: requests are read whole, one after the other, and answered.
//
//   head ──► body ──► answering ──► head …                (keep-alive)
//                        └──► finishing ──► closed        (once the answer is written)
//
// An answer comes at once, after a time (faults, /work), as the engine makes its tokens, or as the client takes it (/bytes).
// What a client pipelines waits until then. A client that goes away cancels what it asked for.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "proxy/http/codec.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/stream.hpp"
#include "services/mock/clocked_engine.hpp"
#include "services/mock/dialect.hpp"
#include "services/mock/faults.hpp"

namespace trireme::mock {

class Server;

class Connection final : public proxy::http::Resident, private TokenSink {
 public:
  Connection(proxy::http::Loop& loop, proxy::http::Descriptor socket, Server& server);
  /// Begins to read. False when the loop has no room for it.
  bool start();
  /// Ends it so that the client sees a reset.
  void reset();

  std::size_t slot = 0;  ///< where the server keeps it

 private:
  enum class State { head, body, answering, finishing, closed };

  void on_ready(proxy::http::Ready ready) override;
  void on_tail() override;
  void on_tokens(const Progress& progress) override;

  void step();
  bool step_head();
  bool step_body();
  void begin_answer();
  void route();
  void ask(const Dialect& dialect);
  void after(Duration time, std::function<void()> then);

  void respond(int status, std::string_view type, std::string_view body);
  void respond_head(int status, std::string_view type, proxy::http::Body body);
  void stream_token(std::size_t index);
  void feed();
  void end_answer();
  void close();
  bool strikes(Fault::Kind kind) const { return fault_ && fault_->kind == kind; }
  bool strikes_at(Fault::Kind kind, std::size_t tokens) const { return strikes(kind) && tokens >= fault_->value; }

  Server& server_;
  proxy::http::Stream stream_;
  proxy::http::InputBuffer in_;
  State state_ = State::head;
  bool stepping_ = false;
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< while the timer may call

  // The request.
  proxy::http::HeadParser parser_;
  proxy::http::RequestHead head_;
  proxy::http::BodyDecoder decoder_;
  std::string body_;
  std::uint64_t body_bytes_ = 0;

  // The answer.
  std::optional<Fault> fault_;
  const Dialect* dialect_ = nullptr;
  Question question_;
  JobId job_ = 0;
  std::size_t streamed_ = 0;     ///< tokens
  std::uint64_t bulk_left_ = 0;  ///< of /bytes
};

}  // namespace trireme::mock
