// The reading half of a connection: who reads, what frames mean, whose callbacks are called.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "native/connection.hpp"

namespace trireme::native {

namespace {

constexpr std::size_t answer_reserved = 256u << 20;  ///< of what an answer says that it will be long

/// Whose callbacks this thread is inside of.
thread_local const Connection* calling = nullptr;

}  // namespace

// ---- Reading ------------------------------------------------------------------------------------

/// Until the condition holds: reads, or lets another read. False: the time was over before.
bool Connection::wait(Lock& lock, const std::function<bool()>& condition, Clock::time_point until, Progress* progress) {
  std::condition_variable woken;
  bool held = true;
  while (!condition()) {
    if (Clock::now() >= until) {
      held = false;
      break;
    }
    if (reading_) {
      send_on();  // what was gathered, too: it may be what is waited for
      if (condition()) break;
      if (progress != nullptr) progress->waiter = &woken;
      followers_.push_back({&woken, progress == nullptr});
      if (until == Clock::time_point::max()) {
        woken.wait(lock);
      } else {
        woken.wait_until(lock, until);
      }
      std::erase_if(followers_, [&](const Follower& follower) { return follower.woken == &woken; });
      if (progress != nullptr) progress->waiter = nullptr;
    } else if (socket_ >= 0) {
      turn(lock, until);
    } else {
      break;  // nothing more will come
    }
  }
  if (!reading_) pass_on();
  return held && condition();
}

/// Another thread that waits shall read.
void Connection::pass_on() {
  if (!followers_.empty()) {
    followers_.front().woken->notify_one();
  } else if (callbacks_ > 0) {
    callback_added_.notify_one();
  }
}

/// Reads once, as the only one.
void Connection::turn(Lock& lock, Clock::time_point until) {
  flush();
  run_callbacks(lock);
  if (socket_ < 0 || reading_) return;
  reading_ = true;
  const int socket = socket_;
  const auto rings = rings_;  // of the same connection, whoever breaks that off
  const bool to_write = sent_ < out_.size();
  lock.unlock();
  const Waiter::Got got = waiter_.receive({socket, rings.get()}, in_, wake_, to_write, until);
  const int error = errno;
  if (got == Waiter::Got::nothing) lower_flag(wake_);
  lock.lock();
  if (socket_ == socket && got == Waiter::Got::end) {
    break_off(Failure::Kind::lost, error == 0
                                       ? "the proxy of this node closed the connection"
                                       : std::string("the connection to the proxy broke: ") + std::strerror(error));
  } else if (socket_ == socket) {
    take_frames();
    flush();
  }
  if (socket_ != socket) ::close(socket);  // it has been broken off
  reading_ = false;
  for (const Follower& follower : followers_) {
    if (follower.by_any) follower.woken->notify_one();
  }
  if (completed_.empty()) return;
  pass_on();
  run_callbacks(lock);
}

/// Takes what has come already, where nobody else does: who asks again and again whether a request is done reads, too.
void Connection::look(Lock& lock, const Progress& progress) {
  if (progress.done || reading_ || socket_ < 0 || in_callback()) return;
  waiter_.rest();
  turn(lock, Clock::time_point{});
  if (!reading_) pass_on();
}

std::string Connection::words_of(const frames::Frame& frame) {
  const auto failure = frames::read_failure(frame.payload);
  return failure ? std::string(failure->words) : "it broke off";
}

void Connection::take_frames() {
  for (;;) {
    frames::Frame frame;
    std::size_t consumed = 0;
    const auto parsed = frames::parse(in_.view(), frame, consumed);
    if (parsed == frames::Parsed::more) return;
    if (parsed == frames::Parsed::bad || !take(frame)) {
      return break_off(Failure::Kind::lost, "the proxy of this node broke the native protocol");
    }
    if (socket_ < 0) return;
    in_.consume(consumed);
  }
}

/// False: it has no place here.
bool Connection::take(const frames::Frame& frame) {
  if (frame.type == frames::Type::failure && frame.id == 0) {
    break_off(Failure::Kind::lost, "the proxy of this node ended the connection: " + words_of(frame));
    return true;
  }
  if (frame.id == 0 || frame.id >= next_) return false;
  auto* const found = requests_.find(frame.id);
  if (found == nullptr) return true;  // it was cancelled
  Progress& progress = **found;
  switch (frame.type) {
    case frames::Type::response: {
      const auto view = frames::view_response(frame.payload);
      if (!view || progress.answered) return false;
      progress.answered = true;
      Response& response = progress.response;
      response.status = view->status;
      response.headers.reserve(view->headers.count());
      frames::Fields fields = view->headers;
      for (frames::Field field; fields.next(field);) {
        response.headers.push_back({std::string(field.name), std::string(field.value)});
      }
      if (view->length != frames::unknown_length && !frame.end) {
        response.body.reserve(std::min<std::uint64_t>(view->length, answer_reserved));
      }
      took(progress, view->body, frame.end);
      return true;
    }
    case frames::Type::data:
      if (!progress.answered) return false;
      took(progress, frame.payload, frame.end);
      return true;
    case frames::Type::window: {
      const auto bytes = frames::read_window(frame.payload);
      if (!bytes) return false;
      progress.credit += *bytes;
      const auto kept = *found;
      pump(*kept);
      return true;
    }
    case frames::Type::failure:
      finish(frame.id, Failure{Failure::Kind::lost, words_of(frame)});
      return true;
    default:
      return false;
  }
}

void Connection::took(Progress& progress, std::string_view body, bool end) {
  progress.response.body.append(body);
  if (end) return finish(progress.id, std::move(progress.response));
  progress.untold += body.size();
  if (progress.untold < window_ / 2) return;
  frames::append_window(out_, progress.id, std::exchange(progress.untold, 0));
}

// ---- Callbacks ----------------------------------------------------------------------------------

bool Connection::in_callback() const {
  return calling == this;
}

void Connection::run_callbacks(Lock& lock) {
  if (completed_.empty() || in_callback()) return;
  while (!completed_.empty()) {
    auto completed = std::exchange(completed_, {});
    lock.unlock();
    const Connection* const before = std::exchange(calling, this);
    for (auto& [callback, outcome] : completed) callback(std::move(outcome));
    completed.clear();  // what callbacks hold goes from inside, too
    calling = before;
    lock.lock();
  }
  send_on();
}

/// The client's own thread: reads while requests with a callback are in progress, and ends those whose time is over.
void Connection::work() {
  Lock lock(mutex_);
  while (!closed_) {
    if (callbacks_ == 0) {
      callback_due_ = Clock::time_point::max();
      callback_added_.wait(lock);
      continue;
    }
    if (const auto now = Clock::now(); now >= callback_due_) {
      end_overdue(now);
      run_callbacks(lock);
      continue;
    }
    if (!reading_ && socket_ >= 0) {
      turn(lock, callback_due_);
      if (callbacks_ == 0 && !reading_) pass_on();
    } else if (callback_due_ == Clock::time_point::max()) {
      callback_added_.wait(lock);
    } else {
      callback_added_.wait_until(lock, callback_due_);
    }
  }
}

void Connection::end_overdue(Clock::time_point now) {
  std::vector<std::shared_ptr<Progress>> overdue;
  callback_due_ = Clock::time_point::max();
  requests_.for_each([&](std::uint64_t, const std::shared_ptr<Progress>& progress) {
    if (!progress->callback) return;
    if (progress->due <= now) {
      overdue.push_back(progress);
    } else {
      callback_due_ = std::min(callback_due_, progress->due);
    }
  });
  for (const auto& progress : overdue) {
    give_up(*progress, {Failure::Kind::deadline, "no answer came before the deadline"});
  }
}

}  // namespace trireme::native
