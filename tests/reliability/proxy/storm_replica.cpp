// A replica for the fault storm: storm_replica PORT LOG. It writes the X-Request-Id of every request for work to LOG, one per
// line and one write each, before it works, so what it has seen is known even after it was killed.
//
//   /health            200
//   /work?MS           the request's id as body, after so long
//   /stream?MS         the same id ten times as ten pieces, over so long
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>

#include "proxy/http/codec.hpp"
#include "proxy/http/listener.hpp"
#include "proxy/http/loop.hpp"
#include "proxy/timer.hpp"

namespace {

using namespace trireme;
using namespace trireme::proxy;

constexpr int pieces = 10;

class Server;

class Work final : public http::Resident, private http::ExchangeObserver {
 public:
  Work(http::Loop& loop, Server& server, std::unique_ptr<http::Exchange> exchange, std::string id, int steps,
       Duration step)
      : Resident(loop),
        server_(server),
        exchange_(std::move(exchange)),
        id_(std::move(id)),
        left_(steps),
        step_(step),
        timer_(loop.io(), [this] { go_on(); }) {
    exchange_->observe(this);
    if (steps > 1) exchange_->respond_head({.headers = {}, .body = {http::Body::Kind::chunked, 0}});
    timer_.arm(step_);
  }
  ~Work() override { exchange_->observe(nullptr); }

 private:
  void go_on();
  void on_body() override {}
  void on_written(std::size_t) override {}
  void on_gone() override;

  Server& server_;
  std::unique_ptr<http::Exchange> exchange_;
  const std::string id_;
  int left_;
  const Duration step_;
  Timer timer_;
};

class Server {
 public:
  Server(http::Loop& loop, const char* log)
      : loop_(loop), log_(::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {}

  bool ok() const { return log_ >= 0; }

  void handle(std::unique_ptr<http::Exchange> exchange) {
    const std::string target = exchange->head().target;
    const std::size_t query = target.find('?');
    const std::string path = target.substr(0, query);
    if (path == "/health") return exchange->respond(200, "text/plain", "ok\n");
    const std::string id(http::find(exchange->head().headers, "X-Request-Id").value_or(""));
    const std::string line = id + "\n";
    if (::write(log_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
    const int ms = query == std::string::npos ? 0 : std::atoi(target.c_str() + query + 1);
    const int steps = path == "/stream" ? pieces : 1;
    works_.insert(std::make_unique<Work>(loop_, *this, std::move(exchange), id, steps,
                                         Duration(std::chrono::milliseconds(ms)) / steps));
  }

  void over(Work& work) {
    const auto found = std::find_if(works_.begin(), works_.end(), [&](const auto& w) { return w.get() == &work; });
    if (found != works_.end()) loop_.bury(std::move(works_.extract(found).value()));
  }

 private:
  http::Loop& loop_;
  int log_;
  std::set<std::unique_ptr<Work>> works_;
};

void Work::go_on() {
  const bool streams = exchange_->head_sent();
  if (streams) static_cast<void>(exchange_->respond_body(id_ + "\n"));
  if (--left_ > 0) return timer_.arm(step_);
  if (streams) {
    exchange_->respond_end();
  } else {
    exchange_->respond(200, "text/plain", id_ + "\n");
  }
  server_.over(*this);
}

void Work::on_gone() {
  server_.over(*this);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: storm_replica PORT LOG\n"), 2;
  boost::asio::io_context io;
  http::Loop loop(io);
  Server server(loop, argv[2]);
  auto listener = http::Listener::on_loopback(
      loop, static_cast<std::uint16_t>(std::atoi(argv[1])),
      [&](std::unique_ptr<http::Exchange> exchange) { server.handle(std::move(exchange)); });
  if (!server.ok() || !listener) return std::fprintf(stderr, "cannot listen or log\n"), 1;
  io.run();
}
