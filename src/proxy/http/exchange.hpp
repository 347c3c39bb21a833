// One request and its answer, as the handler of a listener sees them.
//
// Ownership. The handler owns the Exchange; its connection owns socket and buffers. Destroying the Exchange before the answer
// is complete breaks the connection off. When the client goes away first, the observer is told once and the Exchange
// becomes inert: every call on it does nothing.
//
// Request body: pulled. body() shows the bytes that are held (at most a window of 256 KiB, read ahead of the asking), take()
// gives their room back, on_body() says that there is more to see. A client that expects "100 Continue" gets it at the first
// body() that finds nothing.
//
// Answer: respond_head, respond_body any number of times, respond_end. Head and first bytes leave in one write; small pieces
// are gathered until the end of the loop's turn, and what completes the answer is written at once. Bytes that the client's
// socket does not take are kept, so the caller must bound what it gives by what has been reported written.
//
// No callback is made from inside any function here, except that the handler of the next request may run soon after
// respond_end(). An observer may destroy the Exchange from inside its callbacks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "proxy/http/access.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy::http {

class Exchange;
class ServerConnection;

/// What happens to an Exchange without its owner's doing.
class ExchangeObserver {
 public:
  /// body() shows more than before, or body_complete() has become true.
  virtual void on_body() = 0;
  /// So many bytes of the answer's body, which respond_body() had kept, have been written.
  virtual void on_written(std::size_t bytes) = 0;
  /// The client went away, or sent what is no body. The last callback.
  virtual void on_gone() = 0;

 protected:
  ~ExchangeObserver() = default;
};

/// What carries an Exchange: the connection of an HTTP client, or one request on a native connection. The functions are those
/// of the Exchange, which calls them while it is live.
class ExchangeCarrier {
 public:
  virtual std::string_view body() = 0;
  virtual bool body_complete() const = 0;
  virtual void take(std::size_t bytes) = 0;
  virtual void respond_head(ResponseHead&& head) = 0;
  virtual std::size_t respond_body(std::string_view data) = 0;
  virtual void respond_end() = 0;
  virtual void abort() = 0;

 protected:
  ~ExchangeCarrier() = default;
  static ExchangeObserver* observer_of(const Exchange& exchange);
  static void note_head_sent(Exchange& exchange);
  /// The Exchange is inert from now on.
  static void release(Exchange& exchange);
};

class Exchange {
 public:
  Exchange(ExchangeCarrier& carrier, RequestHead&& head, Peer peer);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  RequestHead& head() { return head_; }
  const RequestHead& head() const { return head_; }
  /// Who the client is, as the listener's check found.
  Peer peer() const { return peer_; }
  /// May be set and changed at any time; nullptr for nobody.
  void observe(ExchangeObserver* observer) { observer_ = observer; }
  /// The answer can still be sent.
  bool live() const { return connection_ != nullptr; }

  /// The body's bytes that are here and not taken. Valid until the next call on the Exchange or return to the loop.
  std::string_view body();
  /// Nothing comes after what body() shows.
  bool body_complete() const;
  /// Gives back the room of that many bytes at the front of body().
  void take(std::size_t bytes);

  /// `head.body` says how the answer's length is known; how it is sent follows from the client's version.
  /// `head.keep_alive` false ends the connection after this answer.
  void respond_head(ResponseHead&& head);
  bool head_sent() const { return head_sent_; }
  /// Returns how many body bytes, of this or of earlier pieces, have been written; the others are reported by on_written().
  [[nodiscard]] std::size_t respond_body(std::string_view data);
  /// The answer is complete; the Exchange is inert after this.
  void respond_end();
  /// A whole answer.
  void respond(int status, std::string_view content_type, std::string_view body, Headers headers = {});
  /// Breaks the connection off. A client that has got the head sees a truncated answer.
  void abort();

 private:
  friend class ExchangeCarrier;
  friend class ServerConnection;

  ExchangeCarrier* connection_;  ///< nullptr: inert
  ExchangeObserver* observer_ = nullptr;
  RequestHead head_;
  Peer peer_;
  bool head_sent_ = false;
};

/// Takes a request. It may answer at once or keep the Exchange.
using Handler = std::function<void(std::unique_ptr<Exchange>)>;

}  // namespace trireme::proxy::http
