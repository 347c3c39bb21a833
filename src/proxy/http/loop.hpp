// The event loop as the proxy's connections see it: edge-triggered readiness, work for the end of a turn, coarse deadlines,
// and a safe way to destroy what is running.
//
// Mechanism. A Loop keeps one epoll set of its own, in which every connection is registered once and for all, and Asio's
// io_context watches that one set. Asio's own operations would cost an epoll_ctl or a failing read per request to arm again;
// here a connection that has been read dry costs nothing until its next edge. Anything else on the io_context goes on as
// usual between two turns.
//
// A turn: take the edges there are (at most 256), on_ready() for each, then on_tail() for those that asked for it, then
// destroy what was buried. Output that is gathered within a turn is thus written once, at its end.
//
// A connection's bytes may also come through memory (native/rings.hpp), which has no edges. As long as the loop is polled rather
// than slept in, such connections are looked at directly, and the other side need not ring; those for which nothing has come for
// a while, and all before a sleep, lie down: then it rings, and the ring is an edge.
//
// Invariants. All of it belongs to the thread that runs the io_context. A Resident may be destroyed at any time except from
// inside its own callbacks, where it is buried instead. No callback comes after destruction.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace trireme::proxy::http {

/// What an edge told about a descriptor.
struct Ready {
  bool in = false;
  bool out = false;
  bool gone = false;   ///< the other side has closed its writing end, or the connection has failed
  bool bytes = false;  ///< no edge: bytes have come beside the descriptor
};

class Resident;

class Loop {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Loop(boost::asio::io_context& io);
  /// Its residents have been destroyed before.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  boost::asio::io_context& io();
  /// The time at the beginning of the present turn.
  Clock::time_point now() const;
  /// A turn at once, outside of the io_context's handlers. False: there was nothing to do. Who calls this calls lie_down() before
  /// each sleep in the io_context.
  bool poll();
  /// Whatever comes from now on ends a sleep in the io_context. False: something has come.
  bool lie_down();
  /// More than one client has been counted within the last millisecond or two.
  bool crowded() const;
  /// Something was served shortly before `now`, or note_work() was called.
  bool busy(Clock::time_point now) const;
  /// There is work that came without an edge.
  void note_work();
  /// Destroys the resident when the present turn is over.
  void bury(std::unique_ptr<Resident> resident);

 private:
  friend class Resident;
  struct State;
  std::shared_ptr<State> state_;
};

/// An object that lives on a Loop and is called by it.
class Resident {
 public:
  explicit Resident(Loop& loop);
  virtual ~Resident();
  Resident(const Resident&) = delete;
  Resident& operator=(const Resident&) = delete;

 protected:
  /// Edges of the descriptor come to on_ready() until unwatch(). False when the kernel has no room for it (errno).
  [[nodiscard]] bool watch(int descriptor);
  /// To be called before the descriptor is closed.
  void unwatch(int descriptor);
  /// Calls on_tail() once, at the end of the present turn or soon.
  void at_tail();
  /// Calls on_deadline() once, not before then, and at most about 10 ms later. Replaces an earlier deadline.
  void set_deadline(Loop::Clock::duration from_now);
  void clear_deadline();
  /// It is a client's, and is being served: see Loop::crowded().
  void count_client();
  /// Something may come for it without an edge: has_bytes() is asked in each turn, until it lies down.
  void stay_awake();
  Loop& loop() const { return loop_; }

 private:
  friend class Loop;
  virtual void on_ready(Ready) {}
  virtual void on_tail() {}
  virtual void on_deadline() {}
  /// Something has come beside the descriptor: on_ready() is told so.
  virtual bool has_bytes() { return false; }
  /// From now on there is an edge when something comes. False, and there may be none: something has come.
  virtual bool lie_down() { return true; }

  Loop& loop_;
  std::size_t index_ = 0;         ///< among the loop's residents
  std::uint64_t counted_in_ = 0;  ///< the last span of time in which it was counted as a client
  Loop::Clock::time_point due_ = Loop::Clock::time_point::max();
  bool in_tail_ = false;
  bool awake_ = false;
  std::uint64_t heard_in_ = 0;  ///< the last span of time in which something came while it was awake
};

}  // namespace trireme::proxy::http
