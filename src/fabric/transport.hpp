// What the rest of a rank sees of the fabric: messages out, messages in, endpoint epochs.
//
// Transport is the interface that the agent, the proxy and the pilot's edge send through; Fabric
// (fabric.hpp) is the real one, over MPI, and tests have their own. Everything here is called on
// the rank's one event-loop thread. Sending never blocks: a message waits in the peer's bounded
// outbox until credit comes back. docs/spec/messages.md is the contract.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/ids.hpp"

namespace trireme {

/// Control goes before bulk, and each class has its own credits, so that bodies never hold up a
/// heartbeat or a start.
enum class MessageClass : std::uint8_t { control = 0, bulk = 1 };

/// What a payload is. Numbers never change their meaning; docs/spec/messages.md lists them.
enum class MessageKind : std::uint16_t {
  // fabric itself
  heartbeat = 1,
  epoch_ack = 2,
  epoch_repair = 3,
  goodbye = 4,
  view = 5,
  // pilot <-> agents
  to_agent = 16,
  from_agent = 17,
  wireup = 18,  ///< agents among themselves, for MPI tasks
  // proxies <-> pilot: what is asked of the run while it is on
  runtime_request = 24,
  runtime_answer = 25,
  runtime_drop = 26,
  // proxies among themselves: admission
  slot_ask = 32,
  slot_grant = 33,
  slot_offer = 34,
  slot_return = 35,
  slot_cancel = 36,
  load = 37,
  slot_want = 38,
  // proxies among themselves: a forwarded request
  call_open = 48,
  call_data = 49,
  call_window = 50,
  call_cancel = 51,
  call_head = 52,
  call_error = 53,
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual Rank rank() const = 0;
  virtual Rank size() const = 0;
  /// Queues a message; to the own rank too (it is delivered at the next poll, never from inside
  /// send). Messages to one peer of one class arrive in order, each once. Payloads are cut into
  /// frames and put together again; one longer than defaults::max_message is a mistake of the
  /// caller: it is not sent, and counted. Sending to a lost rank does nothing.
  virtual void send(Rank to, MessageClass message_class, MessageKind kind, std::string payload) = 0;
  /// Bytes of that class that wait for credit to that peer. Senders of bulk hold back above
  /// defaults::stream_window.
  virtual std::size_t backlog(Rank to, MessageClass message_class) const = 0;
  virtual bool is_lost(Rank rank) const = 0;
};

/// Receives what comes in; called from Fabric::poll().
class TransportHandler {
 public:
  virtual void on_message(Rank from, MessageKind kind, std::string_view payload) = 0;
  /// A peer's heartbeats stopped or MPI reported it dead. Said once per rank.
  virtual void on_rank_lost(Rank rank, std::string_view reason) = 0;
  /// An endpoint epoch, in order and without gaps; the payload is what publish() was given.
  virtual void on_epoch(std::uint64_t number, std::string_view payload) = 0;
  /// On rank 0: every living rank has acknowledged that epoch.
  virtual void on_epoch_acknowledged(std::uint64_t number) = 0;

 protected:
  ~TransportHandler() = default;
};

}  // namespace trireme
