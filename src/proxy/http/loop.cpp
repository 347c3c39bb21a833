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

#include "core/defaults.hpp"

namespace trireme::proxy::http {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto deadline_slack = 10ms;
constexpr auto crowd_span = 1ms;
constexpr std::uint64_t awake_spans = 2;   ///< without anything, before one lies down
constexpr unsigned turns_past_edges = 16;  ///< while something comes beside the descriptors

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
  Clock::time_point busy_at{};
  Clock::time_point next_check = Clock::time_point::max();

  // How many clients were served, in this span of time and in the one before.
  std::uint64_t span = 1;
  Clock::time_point span_begin = now;
  std::size_t clients = 0;
  std::size_t clients_before = 0;

  std::array<epoll_event, 256> events{};
  int event_count = 0;  ///< of the turn being dispatched
  std::vector<Resident*> awake;
  std::vector<Resident*> ringing;  ///< of those, for whom something has come
  unsigned past_edges = 0;
  bool polled = false;  ///< who runs the loop says when it sleeps
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

  /// False: nothing has come.
  bool dispatch() {
    for (Resident* const resident : awake) {
      if (resident->has_bytes()) ringing.push_back(resident);
    }
    event_count = 0;
    if (ringing.empty() || ++past_edges == turns_past_edges) {
      past_edges = 0;
      event_count = ::epoll_wait(set.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    }
    if (event_count <= 0 && ringing.empty()) {
      settle();
      return false;
    }
    in_turn = true;
    busy_at = now = Clock::now();
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
    for (std::size_t i = 0; i < ringing.size(); ++i) {
      if (ringing[i] == nullptr) continue;
      ringing[i]->heard_in_ = span;
      ringing[i]->on_ready({.bytes = true});
    }
    ringing.clear();
    end_turn();
    return true;
  }

  /// Where the io_context sleeps by itself, nobody is left awake.
  void settle() {
    if (!polled && !lie_down()) post_dispatch();
  }

  bool lie_down() {
    bool all = true;
    std::erase_if(awake, [&](Resident* resident) {
      if (resident->lie_down()) return resident->awake_ = false, true;
      return all = false;
    });
    return all;
  }

  void begin_span() {
    std::erase_if(awake, [&](Resident* resident) {
      if (span - resident->heard_in_ < awake_spans || !resident->lie_down()) return false;
      return resident->awake_ = false, true;
    });
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
    settle();
  }

  void post_dispatch() {
    asio::post(io, [self = shared_from_this()] {
      if (!self->closed) self->dispatch();
    });
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

  /// Nothing more comes for it.
  void forget_ready(Resident* resident) {
    for (int i = 0; i < event_count; ++i) {
      auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == resident) event.data.ptr = nullptr;
    }
    if (std::exchange(resident->awake_, false)) std::erase(awake, resident);
    std::replace(ringing.begin(), ringing.end(), resident, static_cast<Resident*>(nullptr));
  }

  void forget(Resident* resident) {
    forget_ready(resident);
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

bool Loop::busy(Clock::time_point now) const {
  return now - state_->busy_at < defaults::spin_after_proxy;
}

void Loop::note_work() {
  state_->busy_at = now();
}

bool Loop::poll() {
  state_->polled = true;
  return !state_->closed && state_->watched > 0 && state_->dispatch();
}

bool Loop::lie_down() {
  return state_->lie_down();
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
  state.forget_ready(this);
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

void Resident::stay_awake() {
  Loop::State& state = *loop_.state_;
  heard_in_ = state.span;
  if (std::exchange(awake_, true)) return;
  state.awake.push_back(this);
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
