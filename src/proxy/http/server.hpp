// A client's connection: requests are read from it one after the other, and each is an Exchange for the handler.
//
//   head ──► exchange ──► finishing ──► head …            (keep-alive)
//     │                      ├──► draining ──► head …     (the rest of an unread body that is known to be short)
//     └──► (refused) ────────┴──► lingering ──► closed    (the client shall read the answer before the connection breaks)
//
// An answer that promises another request on the connection keeps that promise: where the rest of the request's body is long or
// its end not known, it says `Connection: close`, and what the client goes on sending is thrown away for a while, since many
// read no answer before they have sent everything.
//
// Pipelined requests wait in the input buffer or the socket until the one before them is answered. Reading ahead stops at a
// window of body bytes, and the bytes of a next request are not read at all; that a client goes away is known from its
// connection's edge, without reading. A client that closes its writing end counts as gone.
//
// Deadlines: for a head from its first byte, between requests, and for a client that neither sends the awaited body nor takes
// the answer. While an Exchange waits for its handler there is none: that wait is the handler's.
#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/http/codec.hpp"
#include "proxy/http/exchange.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/stream.hpp"

namespace trireme::proxy::http {

/// How long and how much a connection waits for its client.
struct ServerLimits {
  Loop::Clock::duration head_timeout;
  Loop::Clock::duration idle_timeout;
  Loop::Clock::duration stall_timeout;
  Loop::Clock::duration linger;
  std::size_t drain_bytes;
  ServerLimits();  ///< the runtime's defaults
};

/// What a connection needs of its listener.
class ConnectionOwner {
 public:
  virtual void handle(std::unique_ptr<Exchange> exchange) = 0;
  virtual const ServerLimits& limits() const = 0;
  /// No request shall follow on any connection.
  virtual bool stopping() const = 0;
  /// The client speaks the native protocol: takes the socket and what has been read from it. False where nobody does.
  virtual bool take_native(Descriptor& socket, std::string_view received, Peer peer) = 0;
  /// The connection is closed and is to be buried.
  virtual void closed(ServerConnection& connection) = 0;

 protected:
  ~ConnectionOwner() = default;
};

class ServerConnection final : public Resident, public ExchangeCarrier {
 public:
  ServerConnection(Loop& loop, Descriptor socket, Peer peer, ConnectionOwner& owner);
  ~ServerConnection() override;

  /// Begins to read. False when the loop has no room for it.
  bool start();
  /// Ends it now, telling the observer of a request in progress that the client is gone.
  void close();
  /// Ends it if no request is in progress.
  void close_if_idle();

  std::size_t slot = 0;  ///< where the owner keeps it

 private:
  enum class State { head, exchange, finishing, draining, lingering, closed };

  void on_ready(Ready ready) override;
  void on_tail() override;
  void on_deadline() override;

  void step();
  bool step_head();
  bool step_exchange();
  bool step_finishing();
  bool step_draining();
  bool step_lingering();
  bool hand_over();
  void begin_exchange();
  void next_request();
  void linger();
  void refuse(int status, std::string_view what);
  bool decode();
  bool rest_is_short() const;
  void flush();
  std::size_t settle();
  void await_client();
  Exchange* detach();

  // ExchangeCarrier
  std::string_view body() override;
  bool body_complete() const override { return decoder_.done(); }
  void take(std::size_t bytes) override;
  void respond_head(ResponseHead&& head) override;
  std::size_t respond_body(std::string_view data) override;
  void respond_end() override;
  void abort() override;

  ConnectionOwner& owner_;
  Stream stream_;
  Peer peer_;
  State state_ = State::head;
  bool stepping_ = false;

  InputBuffer in_;
  HeadParser parser_;
  RequestHead head_;
  std::string method_;  ///< of the request in progress
  bool http10_ = false;
  bool continue_due_ = false;  ///< the client waits for "100 Continue"
  BodyDecoder decoder_;
  std::size_t piece_ = 0;     ///< bytes of the body at the front of in_
  bool body_wanted_ = false;  ///< body() found nothing
  bool head_begun_ = false;   ///< the first byte of a head is here

  Exchange* exchange_ = nullptr;
  Body answer_;  ///< how the answer's body is sent
  std::uint64_t answer_left_ = 0;
  bool keep_alive_ = true;
  std::size_t unwritten_ = 0;  ///< body bytes at most that are pending in the stream
};

}  // namespace trireme::proxy::http
