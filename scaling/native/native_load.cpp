// native_load SOCKET SERVICE CLIENTS WINDOW SECONDS [api|frames|tensor] [BODY]: a closed loop of native clients in one process, as JSON.
//
// Each client keeps WINDOW requests in progress, of BODY bytes. `frames`: frames written and read by hand, on one thread, so that
// what is measured is the proxy and the service. `api`: trireme::native::Client, one thread and connection each, one request
// after the other (WINDOW is 1); `tensor`: the same to /size, with a long BODY. Latencies are taken where WINDOW is 1.
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "native/codec.hpp"
#include "native/socket.hpp"
#include "trireme/native.hpp"

namespace {

using namespace trireme;
using native::Clock;

struct Plan {
  std::string socket;
  std::string service;
  std::size_t clients = 1;
  std::size_t window = 1;
  double seconds = 1;
  std::string body;
  std::string path = "/";
};

struct Counts {
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;
  std::vector<float> latencies;
};

constexpr double warm_up = 0.25;  ///< of the time, before anything counts

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "native_load: %s\n", why.c_str());
  std::exit(1);
}

class Connection {
 public:
  Connection(const Plan& plan, Counts& counts)
      : plan_(plan),
        counts_(counts),
        socket_(native::connect_to(plan.socket, Clock::now() + std::chrono::seconds(10))) {
    if (socket_ < 0) give_up("cannot connect to " + plan.socket + ": " + std::strerror(errno));
    const char* const token = std::getenv("TRIREME_TOKEN");
    frames::begin_request(request_, 1, true, plan.body.size(), "POST", "/services/" + plan.service + "/", 0);
    request_ += plan.body;
    frames::seal(request_, 0);
    out_ = frames::preface;
    frames::append_hello(out_, {.version = frames::first_version, .token = token == nullptr ? "" : token});
    fill();
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  int socket() const { return socket_; }

  void serve(bool counting) {
    for (;;) {
      const auto [room, size] = in_.room();
      const ssize_t got = ::recv(socket_, room, size, MSG_DONTWAIT);
      if (got == 0) give_up("the proxy closed the connection");
      if (got < 0) break;
      in_.commit(static_cast<std::size_t>(got));
      take(counting);
      if (static_cast<std::size_t>(got) < size) break;
    }
    fill();
  }

 private:
  void take(bool counting) {
    frames::Frame frame;
    std::size_t consumed = 0;
    while (frames::parse(in_.view(), frame, consumed) == frames::Parsed::done) {
      if (frame.type == frames::Type::response && frame.end) {
        std::uint16_t status = 0;
        std::memcpy(&status, frame.payload.data() + 8, sizeof status);
        --in_progress_;
        if (counting) {
          ++counts_.requests;
          counts_.failed += status != 200;
          if (plan_.window == 1)
            counts_.latencies.push_back(std::chrono::duration<float>(Clock::now() - sent_at_).count());
        }
      } else if (frame.type != frames::Type::welcome) {
        give_up("an answer that was not expected");
      }
      in_.consume(consumed);
    }
  }
  void fill() {
    while (in_progress_ < plan_.window) {
      const std::size_t begin = out_.size();
      out_ += request_;
      std::memcpy(out_.data() + begin + 8, &++last_, sizeof last_);
      ++in_progress_;
    }
    if (plan_.window == 1) sent_at_ = Clock::now();
    if (out_.empty()) return;
    const long sent = native::send_some(socket_, out_);
    if (sent < 0) give_up("the proxy closed the connection");
    out_.erase(0, static_cast<std::size_t>(sent));
  }

  const Plan& plan_;
  Counts& counts_;
  const int socket_;
  std::string request_;
  std::string out_;
  native::Inbox in_;
  std::uint64_t last_ = 0;
  std::size_t in_progress_ = 0;
  Clock::time_point sent_at_;
};

Counts by_frames(const Plan& plan, double& seconds) {
  Counts counts;
  std::vector<std::unique_ptr<Connection>> connections;
  const int set = ::epoll_create1(0);
  for (std::size_t i = 0; i < plan.clients; ++i) {
    connections.push_back(std::make_unique<Connection>(plan, counts));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connections.back().get();
    ::epoll_ctl(set, EPOLL_CTL_ADD, connections.back()->socket(), &event);
  }
  const auto span = [&](double part) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(plan.seconds * part));
  };
  const auto begin = Clock::now() + span(warm_up);
  const auto end = begin + span(1);
  std::vector<epoll_event> events(plan.clients);
  for (auto now = Clock::now(); now < end; now = Clock::now()) {
    const int count = ::epoll_wait(set, events.data(), static_cast<int>(events.size()), 1000);
    if (count == 0) give_up("no answer within a second");
    for (int i = 0; i < count; ++i)
      static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr)->serve(now >= begin);
  }
  seconds = plan.seconds;
  ::close(set);
  return counts;
}

Counts by_api(const Plan& plan, double& seconds) {
  std::vector<Counts> counts(plan.clients);
  std::vector<std::thread> threads;
  std::atomic<bool> counting = false;
  std::atomic<bool> over = false;
  for (Counts& own : counts) {
    threads.emplace_back([&] {
      native::ClientOptions options;
      options.socket = plan.socket;
      native::Client client(options);
      while (!over) {
        const bool counts_now = counting;
        const auto sent = Clock::now();
        const auto answer = client.request({.service = plan.service, .body = plan.body, .path = plan.path});
        if (!counts_now || over) continue;
        own.latencies.push_back(std::chrono::duration<float>(Clock::now() - sent).count());
        ++own.requests;
        own.failed += !answer || answer->status != 200;
      }
    });
  }
  const auto sleep = [&](double part) {
    std::this_thread::sleep_for(std::chrono::duration<double>(plan.seconds * part));
  };
  sleep(warm_up);
  counting = true;
  const auto begin = Clock::now();
  sleep(1);
  over = true;
  seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (auto& thread : threads) thread.join();
  Counts all;
  for (const Counts& own : counts) {
    all.requests += own.requests;
    all.failed += own.failed;
    all.latencies.insert(all.latencies.end(), own.latencies.begin(), own.latencies.end());
  }
  return all;
}

double mean(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double quantile(std::vector<float>& values, double part) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 6) give_up("usage: native_load SOCKET SERVICE CLIENTS WINDOW SECONDS [api|frames|tensor] [BODY]");
  Plan plan;
  plan.socket = arguments[1];
  plan.service = arguments[2];
  plan.clients = std::strtoul(arguments[3], nullptr, 10);
  plan.window = std::strtoul(arguments[4], nullptr, 10);
  plan.seconds = std::atof(arguments[5]);
  const std::string_view kind = count > 6 ? arguments[6] : "frames";
  if (kind == "tensor") plan.path = "/size";
  if (count > 7) plan.body.assign(std::strtoul(arguments[7], nullptr, 10), 'x');
  double seconds = 0;
  Counts counts = kind != "frames" ? by_api(plan, seconds) : by_frames(plan, seconds);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  const double p50 = quantile(counts.latencies, 0.5);
  const double p99 = quantile(counts.latencies, 0.99);
  std::printf(
      "{\"requests\": %llu, \"failed\": %llu, \"seconds\": %.6f, \"mean_s\": %.9f, \"p50_s\": %.9f, \"p99_s\": %.9f, "
      "\"cpu_s\": %.3f}\n",
      static_cast<unsigned long long>(counts.requests), static_cast<unsigned long long>(counts.failed), seconds,
      mean(counts.latencies), p50, p99, (of(usage.ru_utime) + of(usage.ru_stime)) / (1 + warm_up));
  return 0;
}
