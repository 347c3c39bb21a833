// One attempt at a request on one upstream, seen from both of its ends.
//
// Whatever answers requests (a replica on this node, a replica on another node reached over the fabric, a remote
// endpoint) is an Upstream. Opening a request on it gives a Call; what comes back goes to a CallObserver. Bodies stream
// both ways under credit: nobody holds more than a window of bytes that the other side has not taken, so a slow reader
// slows its writer and nothing else. Everything here lives on the rank's event loop; there are no locks.
//
// Order of callbacks: on_head once (informational 1xx heads are not passed on), on_body any number of times, then
// exactly one of on_end or on_error. on_error may come at any time and is the last. No callback is made from inside
// open(), send() or send_end(), and none after the Call is destroyed. Destroying a Call before its end cancels the
// request all the way down.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/units.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy {

/// How a failed attempt ended, as far as a retry needs to know.
struct CallError {
  enum class Kind {
    not_delivered,  ///< provably never reached the server (no connection): safe to try elsewhere
    lost,           ///< the connection ended after the request may have been seen, before its answer was complete
    timeout,        ///< the attempt's deadline passed
    bad_response,   ///< the upstream answered something that is no HTTP response
    refused,        ///< the owner of the replica has no free slot (only over the fabric)
  };
  /// What it says of the server's health, beside what it means for the request.
  enum class Blame {
    none,   ///< nothing: it may be busy, or the trouble is ours
    some,   ///< trouble: several in a row are taken for an illness
    proof,  ///< nobody listens there
  };
  Kind kind = Kind::lost;
  std::string what;  ///< for the user: "replica 1 of llama on node 2 closed the connection"
  Blame blame = Blame::some;
};

/// Where the answer goes. Implemented by the server-side exchange and by the fabric's answering side.
class CallObserver {
 public:
  /// `head` is there to be taken; what is left of it the upstream uses again.
  virtual void on_head(http::ResponseHead&& head) = 0;
  /// `data` is valid during the call only. Its bytes count against the window until Call::consumed() gives them back.
  virtual void on_body(std::string_view data) = 0;
  virtual void on_end() = 0;
  virtual void on_error(CallError error) = 0;
  /// The upstream has taken request bytes: Call::window() has grown.
  virtual void on_window() = 0;

 protected:
  ~CallObserver() = default;
};

/// A request in progress. Owned by whoever opened it.
class Call {
 public:
  virtual ~Call() = default;
  /// How many request-body bytes may be sent now.
  virtual std::size_t window() const = 0;
  /// Passes on request-body bytes, at most window() of them; they are copied or written before it returns.
  virtual void send(std::string_view data) = 0;
  /// The request body is complete.
  virtual void send_end() = 0;
  /// The observer is done with `bytes` of the answer's body; the upstream may send as many more.
  virtual void consumed(std::size_t bytes) = 0;
  /// Once on_end has come: what the answer took at the rank that owns the replica. None where that is this rank.
  virtual std::optional<Duration> served() const { return std::nullopt; }
};

/// Something that answers requests.
class Upstream {
 public:
  virtual ~Upstream() = default;
  /// Starts a request. `head` is already what the upstream shall see (credentials and hop-by-hop headers replaced);
  /// `first` is the beginning of the body, written together with the head; `complete` says that `first` is all of it.
  /// The observer must outlive the call.
  virtual std::unique_ptr<Call> open(const http::RequestHead& head, std::string_view first, bool complete,
                                     CallObserver& observer) = 0;
};

}  // namespace trireme::proxy
