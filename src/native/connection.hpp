// The one connection of a client, shared by all threads that use it.
//
// Who waits for an answer reads for everybody: one thread at a time is the reader, and when it has what it waited for it
// passes that on to another that waits. So a single thread that asks and waits never hands anything to another thread. A
// thread of the client's own does this only for requests with a callback.
//
// Everything is under one mutex but the receiving itself, during which the reader alone touches the inbox. Requests are written
// by who submits them, as far as the socket takes them; the rest leaves as soon as there is room. Of a long body the windows of
// its request are sent by whoever sees that there is room. The end of the connection gives every request its outcome.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "native/codec.hpp"
#include "native/id_table.hpp"
#include "native/socket.hpp"
#include "trireme/native.hpp"

namespace trireme::native {

/// One request in progress.
struct Progress {
  std::uint64_t id = 0;  ///< 0: it has not left
  bool done = false;
  bool taken = false;     ///< somebody has got the outcome
  bool answered = false;  ///< the head of the answer is in `response`
  Response response;
  Outcome outcome;
  std::string owned;      ///< of the body, what had not been sent when submit() returned
  std::string_view rest;  ///< of the body, what has not been sent
  std::uint64_t credit = 0;
  std::uint64_t untold = 0;  ///< of the answer, received, and the proxy has not been told
  std::function<void(Outcome)> callback;
  Clock::time_point due;
  std::condition_variable* waiter = nullptr;  ///< of the thread that waits for it
};

class Connection {
 public:
  explicit Connection(ClientOptions options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// `lasting`: the call's body lives until the outcome is there, so it is not copied.
  std::shared_ptr<Progress> submit(const Call& call, std::function<void(Outcome)> callback, bool lasting);
  Outcome get(Progress& progress);
  bool wait_until(Progress& progress, Clock::time_point until);
  bool done(Progress& progress);
  void cancel(Progress& progress);
  void begin_gathering();
  void end_gathering();
  /// Once, from no callback.
  void close();

 private:
  using Lock = std::unique_lock<std::mutex>;
  /// A thread that waits while another reads.
  struct Follower {
    std::condition_variable* woken;
    bool by_any;  ///< of the ends of requests
  };

  bool connect(Clock::time_point until, std::string& why);
  bool greet(Clock::time_point until, std::string& why);
  bool welcome(const frames::Frame& frame, int passed, std::string& why);
  Wire wire() const { return {socket_, rings_.get()}; }
  bool encode(const Call& call, Progress& progress);
  bool wait(Lock& lock, const std::function<bool()>& condition, Clock::time_point until, Progress* progress);
  void turn(Lock& lock, Clock::time_point until);
  void look(Lock& lock, const Progress& progress);
  void take_frames();
  bool take(const frames::Frame& frame);
  static std::string words_of(const frames::Frame& frame);
  void took(Progress& progress, std::string_view body, bool end);
  void pump(Progress& progress);
  void flush();
  void send_on();
  void finish(std::uint64_t id, Outcome outcome);
  void finish(Progress& progress, Outcome outcome);
  void break_off(Failure::Kind kind, const std::string& why);
  void give_up(Progress& progress, Failure failure);
  void run_callbacks(Lock& lock);
  bool in_callback() const;
  void pass_on();
  void work();
  void end_overdue(Clock::time_point now);

  const ClientOptions options_;
  std::mutex mutex_;
  int socket_ = -1;
  std::shared_ptr<frames::Rings> rings_;  ///< null: the proxy speaks through the socket alone
  int wake_;                              ///< an eventfd that ends the reader's sleep
  Waiter waiter_;
  Inbox in_;  ///< the reader's
  std::string out_;
  std::size_t sent_ = 0;                ///< of out_
  std::vector<std::uint64_t> blocked_;  ///< whose bodies go on when out_ has left
  std::uint64_t window_ = 0;
  std::size_t limit_ = 0;  ///< of requests in progress
  std::uint64_t next_ = 1;
  frames::IdTable<std::shared_ptr<Progress>> requests_;
  std::string target_;
  bool reading_ = false;
  std::vector<Follower> followers_;
  int gathering_ = 0;
  bool closed_ = false;

  std::vector<std::pair<std::function<void(Outcome)>, Outcome>> completed_;
  std::size_t callbacks_ = 0;  ///< requests in progress that have one
  Clock::time_point callback_due_ = Clock::time_point::max();
  std::condition_variable callback_added_;
  std::thread worker_;
};

}  // namespace trireme::native
