#include "proxy/http/loop.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

namespace trireme::proxy::http {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto deadline_slack = 10ms;
constexpr auto crowd_span = 1ms;

int make_epoll() {
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  return set;
}

}  // namespace

// Shared with the handlers that wait in the io_context, which may outlive the Loop.
struct Loop::State : std::enable_shared_from_this<Loop::State> {
  explicit State(asio::io_context& context) : io(context), set(context, make_epoll()), timer(context) {}

  asio::io_context& io;
  asio::posix::stream_descriptor set;
  asio::steady_timer timer;
  bool closed = false;

  std::vector<Resident*> residents;
  std::size_t watched = 0;
  bool waiting = false;
  bool in_turn = false;
  bool turn_posted = false;
  Clock::time_point now = Clock::now();
  Clock::time_point next_check = Clock::time_point::max();

  // How many clients were served, in this span of time and in the one before.
  std::uint64_t span = 1;
  Clock::time_point span_begin = now;
  std::size_t clients = 0;
  std::size_t clients_before = 0;

  std::array<epoll_event, 256> events{};
  int event_count = 0;  ///< of the turn being dispatched
  std::vector<Resident*> tail;
  std::vector<Resident*> tail_running;
  std::vector<Resident*> expired;
  std::vector<std::unique_ptr<Resident>> buried;
  std::vector<std::unique_ptr<Resident>> burying;  ///< its memory serves again

  void wait() {
    if (waiting || closed || watched == 0) return;
    waiting = true;
    set.async_wait(asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](const boost::system::error_code& error) {
                     self->waiting = false;
                     if (!self->closed && !error) self->dispatch();
                     self->wait();
                   });
  }

  /// False: there was no edge.
  bool dispatch() {
    event_count = ::epoll_wait(set.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    if (event_count <= 0) return false;
    in_turn = true;
    now = Clock::now();
    if (now - span_begin >= crowd_span) begin_span();
    for (int i = 0; i < event_count; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr) continue;  // destroyed earlier in this turn
      static_cast<Resident*>(event.data.ptr)
          ->on_ready({.in = (event.events & EPOLLIN) != 0,
                      .out = (event.events & EPOLLOUT) != 0,
                      .gone = (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0});
    }
    event_count = 0;
    end_turn();
    return true;
  }

  void begin_span() {
    clients_before = now - span_begin < 2 * crowd_span ? clients : 0;
    clients = 0;
    ++span;
    span_begin = now;
  }

  /// What asks for the tail while it runs gets the next turn's: other work of the io_context comes first.
  void end_turn() {
    in_turn = true;
    tail_running.swap(tail);
    for (std::size_t i = 0; i < tail_running.size(); ++i) {
      Resident* const resident = tail_running[i];
      if (resident == nullptr) continue;
      resident->in_tail_ = false;
      tail_running[i] = nullptr;
      resident->on_tail();
    }
    tail_running.clear();
    while (!buried.empty()) {
      burying.swap(buried);
      burying.clear();
    }
    in_turn = false;
    if (!tail.empty()) post_turn();
  }

  void post_turn() {
    if (turn_posted || closed) return;
    turn_posted = true;
    asio::post(io, [self = shared_from_this()] {
      self->turn_posted = false;
      if (self->closed) return;
      self->now = Clock::now();
      self->end_turn();
    });
  }

  void forget(Resident* resident) {
    for (int i = 0; i < event_count; ++i) {
      auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == resident) event.data.ptr = nullptr;
    }
    if (resident->in_tail_) {
      std::erase(tail, resident);
      std::replace(tail_running.begin(), tail_running.end(), resident, static_cast<Resident*>(nullptr));
    }
    std::replace(expired.begin(), expired.end(), resident, static_cast<Resident*>(nullptr));
  }

  void check_at(Clock::time_point when) {
    if (when >= next_check || closed) return;
    next_check = when;
    timer.expires_at(when);
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!self->closed && !error) self->check_deadlines();
    });
  }

  void check_deadlines() {
    in_turn = true;
    now = Clock::now();
    next_check = Clock::time_point::max();
    for (Resident* resident : residents) {
      if (resident->due_ > now) continue;
      resident->due_ = Clock::time_point::max();
      expired.push_back(resident);
    }
    for (std::size_t i = 0; i < expired.size(); ++i) {
      if (expired[i] != nullptr) expired[i]->on_deadline();
    }
    expired.clear();
    end_turn();
    auto next = Clock::time_point::max();
    for (const Resident* resident : residents) next = std::min(next, resident->due_);
    if (next != Clock::time_point::max()) check_at(std::max(next, now + deadline_slack));
  }
};

Loop::Loop(asio::io_context& io) : state_(std::make_shared<State>(io)) {}

Loop::~Loop() {
  state_->closed = true;
  const auto dead = std::move(state_->buried);
  boost::system::error_code ignored;
  state_->timer.cancel();
  state_->set.close(ignored);
}

asio::io_context& Loop::io() {
  return state_->io;
}

Loop::Clock::time_point Loop::now() const {
  return state_->in_turn ? state_->now : Clock::now();
}

bool Loop::crowded() const {
  return std::max(state_->clients, state_->clients_before) > 1;
}

bool Loop::poll() {
  return !state_->closed && state_->watched > 0 && state_->dispatch();
}

void Loop::bury(std::unique_ptr<Resident> resident) {
  state_->buried.push_back(std::move(resident));
  if (!state_->in_turn) state_->post_turn();
}

Resident::Resident(Loop& loop) : loop_(loop), index_(loop.state_->residents.size()) {
  loop.state_->residents.push_back(this);
}

Resident::~Resident() {
  Loop::State& state = *loop_.state_;
  state.forget(this);
  state.residents.back()->index_ = index_;
  state.residents[index_] = state.residents.back();
  state.residents.pop_back();
}

bool Resident::watch(int descriptor) {
  Loop::State& state = *loop_.state_;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = this;
  if (::epoll_ctl(state.set.native_handle(), EPOLL_CTL_ADD, descriptor, &event) != 0) return false;
  ++state.watched;
  state.wait();
  return true;
}

void Resident::unwatch(int descriptor) {
  Loop::State& state = *loop_.state_;
  ::epoll_ctl(state.set.native_handle(), EPOLL_CTL_DEL, descriptor, nullptr);
  for (int i = 0; i < state.event_count; ++i) {
    auto& event = state.events[static_cast<std::size_t>(i)];
    if (event.data.ptr == this) event.data.ptr = nullptr;
  }
  if (--state.watched == 0) {
    boost::system::error_code ignored;
    state.set.cancel(ignored);
  }
}

void Resident::at_tail() {
  if (in_tail_) return;
  in_tail_ = true;
  Loop::State& state = *loop_.state_;
  state.tail.push_back(this);
  if (!state.in_turn) state.post_turn();
}

void Resident::set_deadline(Loop::Clock::duration from_now) {
  due_ = loop_.now() + from_now;
  loop_.state_->check_at(due_);
}

void Resident::count_client() {
  Loop::State& state = *loop_.state_;
  if (std::exchange(counted_in_, state.span) != state.span) ++state.clients;
}

void Resident::clear_deadline() {
  due_ = Loop::Clock::time_point::max();
}

}  // namespace trireme::proxy::http
