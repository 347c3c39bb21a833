#include "node/executor.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "core/defaults.hpp"
#include "node/end_words.hpp"
#include "node/result_json.hpp"

namespace trireme {
namespace {

constexpr double worth_of_calls = 1e-3;  ///< seconds of work that are sent ahead
constexpr double smoothing = 0.1;

AttemptEnd ended_with(Outcome outcome, std::string reason) {
  AttemptEnd end;
  end.outcome = outcome;
  end.reason = std::move(reason);
  end.ended = wall_now();
  return end;
}

}  // namespace

Executor::Executor(NodeContext& node, std::uint64_t number, Resources each, std::string log, Hooks hooks)
    : node_(node),
      number_(number),
      each_(each),
      log_(std::move(log)),
      hooks_(std::move(hooks)),
      arrived_(64u << 10),
      deadline_(node.loop) {}

void Executor::start(spawner::Spawn spawn, std::unique_ptr<UnsentEnds> unsent) {
  unsent_ = std::move(unsent);
  process_ = node_.processes.start(std::move(spawn), *this);
  deadline_.expires_after(defaults::executor_start);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->socket_ || self->over_) return;
    self->node_.processes.stop(self->process_, std::chrono::milliseconds(0));
  });
}

void Executor::connected(boost::asio::local::stream_protocol::socket socket, executor::Reader reader) {
  if (over_) return;
  deadline_.cancel();
  socket_.emplace(std::move(socket));
  reader_ = std::move(reader);
  watch_front();
  flush_later();
  read();
  hooks_.room();
}

// --- calls -----------------------------------------------------------------------------------------------------------

bool Executor::has_room_for(const FunctionTask& task) const {
  if (over_ || verdict_) return false;
  if (calls_.empty()) return true;
  return calls_.size() < defaults::function_queue && expected_ + task.known->seconds <= worth_of_calls;
}

void Executor::send(FunctionTask task) {
  const auto [known, fresh] = functions_.try_emplace(task.known, static_cast<std::uint32_t>(functions_.size()));
  if (fresh) {
    std::string body;
    executor::append_integer(body, static_cast<std::uint32_t>(task.function.library.size()));
    body += task.function.library;
    executor::append_frame(out_, executor::Kind::define, known->second, body, task.function.name);
  }
  task.expected = task.known->seconds;
  expected_ += task.expected;
  std::string number;
  executor::append_integer(number, known->second);
  executor::append_frame(out_, executor::Kind::call, first_ + calls_.size(), number, task.function.args);
  calls_.push_back(std::move(task));
  if (calls_.size() == 1) {
    hold();
    watch_front();
  }
  flush_later();
}

/// Takes the cores that a call is counted with, before anything is sent.
void Executor::hold() {
  if (!held_.empty() || asked_ || each_.cores == 0) return;
  const auto ticket = node_.resources.ask(each_, 1, [weak = weak_from_this()](std::vector<Allocation> held) {
    const auto self = weak.lock();  // it is withdrawn before the executor goes, so there is one
    self->held_ = std::move(held);
    self->asked_.reset();
    self->watch_front();
    self->flush_later();
  });
  if (held_.empty()) asked_ = ticket;
}

void Executor::release() {
  if (asked_) node_.resources.withdraw(*std::exchange(asked_, std::nullopt));
  if (!held_.empty()) node_.resources.give_back(std::exchange(held_, {}));
}

bool Executor::cancel(AttemptId id, const std::string& reason) {
  const auto found =
      std::find_if(calls_.begin(), calls_.end(), [&](const FunctionTask& call) { return call.id == id; });
  if (found == calls_.end()) return false;
  if (found->cancelled) return true;
  found->cancelled = reason;
  if (found == calls_.begin()) {
    kill(ended_with(Outcome::cancelled, reason));
  } else {
    executor::append_frame(out_, executor::Kind::skip, first_ + static_cast<std::uint64_t>(found - calls_.begin()));
    flush_later();
  }
  return true;
}

/// The deadline of the call that runs, from when it can.
void Executor::watch_front() {
  if (!socket_ || !may_run()) return;
  deadline_.cancel();
  if (calls_.empty() || calls_.front().timeout == Duration(0)) return;
  deadline_.expires_after(calls_.front().timeout);
  deadline_.async_wait([weak = weak_from_this(), call = first_](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->first_ != call || self->calls_.empty()) return;
    self->on_deadline();
  });
}

void Executor::on_deadline() {
  AttemptEnd end =
      ended_with(Outcome::timeout, "ended after its timeout of " + format_duration(calls_.front().timeout));
  kill(std::move(end));
}

/// Nothing but its death ends a call that runs.
void Executor::kill(AttemptEnd end_of_front) {
  if (verdict_ || over_) return;
  verdict_ = std::move(end_of_front);
  verdict_on_ = first_;
  node_.processes.stop(process_, std::chrono::milliseconds(0));
}

void Executor::end_front(AttemptEnd end) {
  FunctionTask call = std::move(calls_.front());
  calls_.pop_front();
  ++first_;
  expected_ = calls_.empty() ? 0 : expected_ - call.expected;
  if (end.started == 0) end.started = end.ended;
  call.over(std::move(end));
}

// --- the connection --------------------------------------------------------------------------------------------------

void Executor::flush_later() {
  if (std::exchange(flushing_, true)) return;
  // At the end of the loop's turn, so that what one turn brings leaves in one write.
  boost::asio::post(node_.loop, [self = shared_from_this()] {
    self->flushing_ = false;
    self->flush();
  });
}

void Executor::flush() {
  if (over_ || !socket_ || !writing_.empty() || out_.empty() || !may_run()) return;
  std::swap(out_, writing_);
  boost::asio::async_write(*socket_, boost::asio::buffer(writing_),
                           [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                             self->writing_.clear();
                             if (!error) self->flush();  // otherwise the end of its process tells
                           });
}

void Executor::read() {
  socket_->async_read_some(boost::asio::buffer(arrived_),
                           [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
                             if (error || self->over_) return;  // the end of its process tells
                             self->reader_.feed({self->arrived_.data(), size});
                             const std::uint64_t before = self->first_;
                             self->take_all(self->reader_);
                             if (self->first_ != before) {
                               self->watch_front();
                               if (self->calls_.empty()) self->release();
                               self->hooks_.room();
                             }
                             if (self->reader_.failed()) {
                               self->kill(ended_with(Outcome::failed, "its executor sent what cannot be read"));
                               return;
                             }
                             self->read();
                           });
}

void Executor::take_all(executor::Reader& frames) {
  while (const auto frame = frames.next()) take(*frame);
}

void Executor::take(const executor::Frame& frame) {
  if (calls_.empty() || frame.id != first_) return;
  if (frame.kind == executor::Kind::skipped) {
    return end_front(ended_with(Outcome::cancelled, calls_.front().cancelled.value_or("cancelled")));
  }
  if (frame.kind != executor::Kind::done && frame.kind != executor::Kind::failed) return;
  std::string_view body = frame.body;
  AttemptEnd end;
  end.started = executor::take_integer<std::int64_t>(body);
  end.ended = executor::take_integer<std::int64_t>(body);
  if (frame.kind == executor::Kind::failed) {
    end.outcome = Outcome::failed;
    end.exit_code = 1;
    end.reason = std::string(body);
  } else if (body.size() > defaults::function_result) {
    end.outcome = Outcome::failed;
    end.reason =
        "the result is longer than " + format_size(defaults::function_result) + ": return the name of a file instead";
  } else if (auto trouble = why_no_result(body)) {
    end.outcome = Outcome::failed;
    end.exit_code = 1;
    end.reason = std::move(*trouble);
  } else {
    end.result = std::string(body);
  }
  const double took = std::max(1e-7, static_cast<double>(end.ended - end.started) * 1e-9);
  double& seconds = calls_.front().known->seconds;
  seconds += smoothing * (took - seconds);
  end_front(std::move(end));
}

void Executor::close() {
  over_ = true;
  deadline_.cancel();
  boost::system::error_code ignored;
  if (socket_) socket_->close(ignored);
}

// --- the end ---------------------------------------------------------------------------------------------------------

void Executor::on_process_failed(ProcessId, const spawner::Failed& report) {
  end(end_of(report), "its executor cannot be started: " + report.text);
}

void Executor::on_process_ended(ProcessId, const spawner::Ended& report) {
  if (!socket_) {
    return end(ended_with(Outcome::failed, ""),
               "its executor ended before it was ready (" + words_for_end(report, Duration(0)) + "): see " + log_);
  }
  // What it sent before it died may still be unread: the socket holds it. What it had not sent is in its memory.
  boost::system::error_code error;
  socket_->non_blocking(true, error);
  while (const std::size_t size = socket_->read_some(boost::asio::buffer(arrived_), error)) {
    reader_.feed({arrived_.data(), size});
    take_all(reader_);
  }
  executor::Reader unsent;
  unsent.feed(unsent_->read());
  take_all(unsent);
  AttemptEnd verdict =
      ended_with(Outcome::failed, "its executor ended: " + words_for_end(report, Duration(0)) + " (see " + log_ + ")");
  verdict.signal = report.signo;
  verdict.exit_code = report.signo != 0 ? 128 + report.signo : report.exit_code;
  end(verdict, std::nullopt);
}

void Executor::on_process_lost(ProcessId, const Error& why) {
  end(ended_with(Outcome::failed, why.text()), std::nullopt);
}

void Executor::end(const AttemptEnd& of_front, std::optional<std::string> broken) {
  if (std::exchange(over_, true)) return;
  const auto keep = shared_from_this();
  deadline_.cancel();
  release();
  if (socket_) {
    boost::system::error_code ignored;
    socket_->close(ignored);
  }
  if (!broken && !calls_.empty()) {
    // The call that it was killed for may have ended just before; then the next one is made elsewhere.
    if (!verdict_) {
      end_front(of_front);
    } else if (verdict_on_ == first_) {
      end_front(std::move(*verdict_));
    }
  }
  std::deque<FunctionTask> left = std::exchange(calls_, {});
  hooks_.over(*this, std::move(left), std::move(broken));
}

}  // namespace trireme
