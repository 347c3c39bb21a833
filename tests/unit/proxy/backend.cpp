#include "backend.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>

#include "proxy/timer.hpp"

namespace trireme::proxy::test {

class Backend::Work final : public http::ExchangeObserver {
 public:
  enum class Kind { echo, source, events, work, hang };
  Work(Backend& backend, Kind kind, std::unique_ptr<http::Exchange> exchange, std::uint64_t number)
      : backend_(backend), kind_(kind), exchange_(std::move(exchange)), left_(number), timer_(backend.io_, [this] {
          go_on();
        }) {
    exchange_->observe(this);
  }
  ~Work() {
    exchange_->observe(nullptr);
    if (kind_ == Kind::work) --backend_.at_once_;
  }

  void begin() {
    if (kind_ == Kind::work) {
      backend_.most_ = std::max<int>(backend_.most_, ++backend_.at_once_);
      timer_.arm(std::chrono::milliseconds(left_));
    }
    if (kind_ == Kind::echo || kind_ == Kind::source || kind_ == Kind::events) {
      http::ResponseHead head;
      head.body = kind_ == Kind::echo ? exchange_->head().body : http::Body{};
      if (kind_ == Kind::source) head.body = {http::Body::Kind::length, left_};
      if (kind_ == Kind::events) {
        head.body.kind = http::Body::Kind::chunked;
        head.headers = {{"Content-Type", "text/event-stream"}};
      }
      exchange_->respond_head(std::move(head));
    }
    if (kind_ == Kind::echo) pump();
    if (kind_ == Kind::source) give();
    if (kind_ == Kind::hang || kind_ == Kind::events || kind_ == Kind::work) {
      backend_.note(backend_.open_, 1);
    }
  }
  void event(const std::string& text) {
    if (kind_ == Kind::events) unwritten_ += text.size() - exchange_->respond_body(text);
  }

 private:
  void go_on() {
    if (kind_ == Kind::source) return give();
    ++backend_.served_;
    backend_.note(backend_.open_, -1);
    exchange_->respond(200, "text/plain", backend_.name_);
    backend_.finished(*this);
  }
  /// Echo: at most a window that the client has not read.
  void pump() {
    while (unwritten_ < (64u << 10)) {
      const std::string_view body = exchange_->body();
      if (body.empty()) break;
      const std::size_t size = std::min<std::size_t>(body.size(), 16u << 10);
      const std::size_t written = exchange_->respond_body(body.substr(0, size));
      unwritten_ += size;
      unwritten_ -= std::min(unwritten_, written);
      exchange_->take(size);
    }
    if (exchange_->body().empty() && exchange_->body_complete()) {
      exchange_->respond_end();
      backend_.finished(*this);
    }
  }
  void give() {
    std::string piece;
    for (int turn = 0; left_ > 0 && unwritten_ < (64u << 10); ++turn) {
      if (turn == 16) return timer_.arm(Duration(0));  // others shall have their turn
      piece.resize(std::min<std::uint64_t>(left_, 16u << 10));
      for (char& c : piece) c = pattern(at_++);
      left_ -= piece.size();
      backend_.given_ += piece.size();
      const std::size_t written = exchange_->respond_body(piece);
      unwritten_ += piece.size();
      unwritten_ -= std::min(unwritten_, written);
    }
    if (left_ == 0) {
      exchange_->respond_end();
      backend_.finished(*this);
    }
  }
  void on_body() override {
    if (kind_ == Kind::echo) pump();
  }
  void on_written(std::size_t bytes) override {
    unwritten_ -= std::min(unwritten_, bytes);
    if (kind_ == Kind::echo) pump();
    if (kind_ == Kind::source) give();
  }
  void on_gone() override {
    backend_.note(backend_.gone_, 1);
    backend_.finished(*this);
  }

  Backend& backend_;
  const Kind kind_;
  std::unique_ptr<http::Exchange> exchange_;
  std::uint64_t left_;
  std::uint64_t at_ = 0;
  std::size_t unwritten_ = 0;
  Timer timer_;
};

Backend::Backend(std::string name, std::string socket) : name_(std::move(name)), keep_(io_.get_executor()), loop_(io_) {
  auto handler = [this](std::unique_ptr<http::Exchange> exchange) { handle(std::move(exchange)); };
  auto listener =
      socket.empty() ? http::Listener::on_loopback(loop_, 0, handler) : http::Listener::on_path(loop_, socket, handler);
  REQUIRE(listener.ok());
  listener_ = *std::move(listener);
  thread_ = std::thread([this] { io_.run(); });
}

Backend::~Backend() {
  std::promise<void> ended;
  boost::asio::post(io_, [&] {
    works_.clear();
    listener_.reset();
    ended.set_value();
  });
  ended.get_future().wait();
  keep_.reset();
  io_.stop();
  thread_.join();
}

void Backend::send_event(const std::string& text) {
  std::promise<void> sent;
  boost::asio::post(io_, [&] {
    for (const auto& work : works_) work->event(text);
    sent.set_value();
  });
  sent.get_future().wait();
}

std::vector<std::string> Backend::order() {
  const std::lock_guard lock(mutex_);
  return order_;
}

bool Backend::wait_for_gone(int count) {
  return wait_for(gone_, count);
}
bool Backend::wait_for_open(int count) {
  return wait_for(open_, count);
}
int Backend::opened() {
  const std::lock_guard lock(mutex_);
  return open_;
}

bool Backend::wait_for(const int& counter, int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return counter >= count; });
}

void Backend::note(int& counter, int change) {
  const std::lock_guard lock(mutex_);
  counter += change;
  changed_.notify_all();
}

void Backend::finished(Work& work) {
  const auto found = std::find_if(works_.begin(), works_.end(), [&](const auto& w) { return w.get() == &work; });
  if (found == works_.end()) return;
  // It is running; what it holds ends when it has returned.
  boost::asio::post(
      io_, [w = std::make_shared<std::unique_ptr<Work>>(std::move(works_.extract(found).value()))] { w->reset(); });
}

void Backend::handle(std::unique_ptr<http::Exchange> exchange) {
  const std::string target = exchange->head().target;
  const std::string path = target.substr(0, target.find('?'));
  const std::size_t query = target.find('?');
  std::uint64_t number = 0;
  if (query != std::string::npos) number = std::strtoull(target.c_str() + query + 1, nullptr, 10);
  {
    const std::lock_guard lock(mutex_);
    if (const auto id = http::find(exchange->head().headers, "X-Request-Id")) order_.emplace_back(*id);
  }
  const auto start = [&](Work::Kind kind) {
    auto work = std::make_unique<Work>(*this, kind, std::move(exchange), number);
    Work& started = *work;
    works_.insert(std::move(work));
    started.begin();
  };
  if (path.ends_with("/echo")) return start(Work::Kind::echo);
  if (path == "/source") return start(Work::Kind::source);
  if (path == "/events") return start(Work::Kind::events);
  if (path == "/work") return start(Work::Kind::work);
  if (path.ends_with("/hang")) return start(Work::Kind::hang);
  ++served_;
  if (path == "/break") return exchange->abort();
  if (path == "/cut") {
    exchange->respond_head({.body = {http::Body::Kind::length, 100}});
    (void)exchange->respond_body("some");
    return exchange->abort();
  }
  std::string text = name_ + "\n" + exchange->head().method + " " + target + "\n";
  for (const http::Header header : exchange->head().headers) {
    text.append(header.name).append(": ").append(header.value).append("\n");
  }
  exchange->respond(200, "text/plain", text, {{"X-Backend", name_}});
}

}  // namespace trireme::proxy::test
