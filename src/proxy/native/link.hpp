// The one connection to a replica on this node that speaks the native protocol, on which any number of requests are in progress
// and are answered in any order (docs/spec/native.md).
//
// Requests on it are LinkCalls: each is told of its own frames, and of the end of the connection. A call waits, with its frames,
// until the replica has said welcome, has fewer in progress than it takes, and takes what it is sent: so one that a dying replica's
// socket still took a connection for is safe to repeat, one that is cancelled meanwhile leaves nothing behind, and what is kept for a
// replica that reads nothing is bounded by its slots. Those whose first byte had not been written are `not_delivered` at the end, the
// others `lost`. What is written within a turn of the loop leaves in one write, at its end. Owned by its upstream and by its calls;
// destroyed between turns of the loop, to which it belongs.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/defaults.hpp"
#include "native/id_table.hpp"
#include "proxy/call.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/http/stream.hpp"
#include "proxy/native/frame.hpp"
#include "proxy/native/memory.hpp"

namespace trireme::proxy::native {

class Link;

/// A request on a Link, as that sees it.
class LinkCall {
 public:
  virtual ~LinkCall() = default;
  /// A frame of its own. False: it has no place here, and the connection ends. It may end itself, or destroy itself.
  virtual bool on_frame(const Frame& frame) = 0;
  /// The connection has ended, or the request did not fit. The link has forgotten it. It may destroy itself.
  virtual void on_failed(CallError error) = 0;
  /// Link::takes_bodies() has become true.
  virtual void on_room() {}

 private:
  friend class Link;
  bool waits_ = false;       ///< it has not set out …
  std::string kept_;         ///< … and these are its frames until it does
  std::uint64_t begin_ = 0;  ///< where its first byte is among those of the connection
};

class Link final : public http::Resident {
 public:
  Link(http::Loop& loop, std::string name) : Resident(loop), name_(std::move(name)) {}
  ~Link() override {
    if (stream_.descriptor() >= 0) unwatch(stream_.descriptor());
  }

  void connect(const std::string& path, const std::string& key);
  bool broken() const { return failure_.has_value(); }
  const std::string& name() const { return name_; }

  /// A number for a request whose first frame is appended to its out() next.
  std::uint64_t begin(LinkCall& call);
  /// What was to be the request fits no frame: it fails, at the end of the turn.
  void refuse(std::uint64_t id) { refused_.push_back(id); }
  /// The request is over. `cancel`: the replica is told so.
  void forget(std::uint64_t id, bool cancel);
  bool knows(std::uint64_t id) const { return calls_.find(id) != nullptr; }
  /// False: as much waits to be written as may, and calls are told by on_room() when that is over.
  bool takes_bodies() {
    starved_ = starved_ || is_full();
    return !is_full();
  }
  /// Of a request's body; long ones are written at once, and not copied as far as the replica takes them.
  void send_data(LinkCall& call, std::uint64_t id, std::string_view data, bool end);
  /// Frames of a call to send.
  std::string& out(LinkCall& call) {
    at_tail();
    return call.waits_ ? call.kept_ : stream_.pending();
  }

 private:
  void on_ready(http::Ready ready) override;
  void on_tail() override { serve(); }
  void on_deadline() override { fail(CallError::Blame::some, " did not say welcome in time"); }

  bool is_full() const { return stream_.unsent() >= defaults::native_unsent; }
  bool has_room() const { return welcomed_ && !failure_ && working_ < limit_ && !is_full(); }
  void set_out(LinkCall& call);
  LinkCall* let_go(std::uint64_t id);
  void serve();
  void write();
  void flush();
  bool step();
  bool receive(const Frame& frame);
  bool welcome(const Frame& frame);
  bool has_bytes() override { return memory_ != nullptr && memory_->has_bytes(stream_); }
  bool lie_down() override { return memory_ == nullptr || memory_->lie_down(stream_); }
  void fail(CallError::Blame blame, const std::string& what);
  void end_calls();

  const std::string name_;
  http::Stream stream_;
  AwaitedMemory* awaited_ = nullptr;  ///< the stream's, until the welcome
  Memory* memory_ = nullptr;          ///< the stream's, where the replica can use it
  http::InputBuffer in_;
  std::uint64_t next_ = 1;
  std::uint64_t written_ = 0;  ///< bytes that the kernel has taken
  bool welcomed_ = false;
  std::size_t limit_ = 0;    ///< of requests in progress, as the replica says
  std::size_t working_ = 0;  ///< calls that have set out
  bool starved_ = false;     ///< somebody asked while it was full
  bool invalid_ = false;     ///< it failed because the replica broke the rules
  bool serving_ = false;
  std::optional<CallError> failure_;
  IdTable<LinkCall*> calls_;
  std::deque<std::uint64_t> waiting_;  ///< of them, in the order of their numbers
  std::vector<std::uint64_t> refused_;
};

}  // namespace trireme::proxy::native
