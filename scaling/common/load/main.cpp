// http_load: a closed loop of HTTP clients on one thread, the same for everything that is compared.
//
//   http_load --target URL [--target URL …] --connections N (--requests N | --seconds S)
//             (--path /noop [--body-bytes 1024] | --jobs FILE) [--pinned] [--read-rate BYTES]
//
// A line of the jobs file is a path, a tab, and a body. What came of it is printed as JSON.
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>

#include "load/client.hpp"

namespace trireme::load {
namespace {

struct Arguments {
  std::vector<std::string> targets;
  std::size_t connections = 1;
  std::uint64_t requests = 0;
  double seconds = 0;
  double warm_up = 0;
  std::string path = "/";
  std::size_t body_bytes = 0;
  std::string jobs;
  std::string bearer;
  bool pinned = false;
  double read_rate = 0;
};

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("--target", arguments.targets, "http://127.0.0.1:PORT/PREFIX or unix:PATH; client i takes the i-th")
      ->required();
  app.add_option("--connections", arguments.connections, "clients, each with a request in flight")
      ->check(CLI::PositiveNumber);
  app.add_option("--requests", arguments.requests, "end after so many");
  app.add_option("--seconds", arguments.seconds, "end after so long");
  app.add_option("--warm-up", arguments.warm_up, "seconds before anything is counted");
  app.add_option("--path", arguments.path, "what is asked for");
  app.add_option("--body-bytes", arguments.body_bytes, "of the body that is posted; 0: GET");
  app.add_option("--jobs", arguments.jobs, "a file with a path, a tab and a body in each line");
  app.add_option("--bearer", arguments.bearer, "token");
  app.add_flag("--pinned", arguments.pinned, "every client has its own part of the jobs");
  app.add_option("--read-rate", arguments.read_rate, "bytes per second that a client takes of its answer");
}

Result<std::vector<Job>> jobs_of(const Arguments& arguments) {
  if (arguments.jobs.empty()) return std::vector<Job>{{arguments.path, std::string(arguments.body_bytes, 'x')}};
  std::ifstream file(arguments.jobs);
  std::vector<Job> jobs;
  for (std::string line; std::getline(file, line);) {
    const std::size_t tab = line.find('\t');
    jobs.push_back({line.substr(0, tab), tab == std::string::npos ? "" : line.substr(tab + 1)});
  }
  if (jobs.empty()) return Error{.what = "holds no jobs", .where = arguments.jobs};
  return jobs;
}

constexpr std::size_t read_most = 256u << 10;
constexpr std::size_t slow_read = 4u << 10;

/// Waits for the clients' sockets until none has anything to do, or time is up.
class Loop {
 public:
  explicit Loop(double read_rate) : slow_(read_rate > 0), set_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (slow_) pause_ = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(slow_read / read_rate));
  }
  void add(Client& client) {
    watch(client);
    ++working_;
  }
  void run(MonoTime until) {
    std::array<epoll_event, 256> events{};
    while (working_ > 0) {
      const std::int64_t left = until - mono_now();
      if (left <= 0) return;
      const int timeout = static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, 1000));
      const int count = ::epoll_wait(set_.get(), events.data(), static_cast<int>(events.size()), timeout);
      for (int i = 0; i < count; ++i) handle(*static_cast<Client*>(events[static_cast<std::size_t>(i)].data.ptr));
      if (slow_) sleep();
    }
  }

 private:
  void watch(Client& client) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &client;
    ::epoll_ctl(set_.get(), EPOLL_CTL_ADD, client.descriptor(), &event);
  }
  void handle(Client& client) {
    const int before = client.descriptor();
    if (!client.on_readable(slow_ ? slow_read : read_most)) {
      ::epoll_ctl(set_.get(), EPOLL_CTL_DEL, client.descriptor(), nullptr);
      --working_;
    } else if (client.descriptor() != before) {
      watch(client);
    }
  }
  void sleep() const {
    const timespec time{pause_.count() / 1'000'000'000, pause_.count() % 1'000'000'000};
    ::nanosleep(&time, nullptr);
  }

  const bool slow_;
  Duration pause_{0};
  proxy::http::Descriptor set_;
  std::size_t working_ = 0;
};

Status measure(const Arguments& arguments) {
  std::vector<Target> targets;
  for (const std::string& url : arguments.targets) {
    auto target = parse_target(url);
    if (!target) return target.error();
    targets.push_back(*std::move(target));
  }
  auto jobs = jobs_of(arguments);
  if (!jobs) return jobs.error();
  const std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t count = arguments.requests > 0 ? arguments.requests : arguments.seconds > 0 ? all : jobs->size();
  Plan plan(*std::move(jobs), count, arguments.connections, arguments.pinned);
  Record record;
  const std::string headers = arguments.bearer.empty() ? "" : "Authorization: Bearer " + arguments.bearer + "\r\n";

  Loop loop(arguments.read_rate);
  std::vector<std::unique_ptr<Client>> clients;
  MonoTime begin = mono_now();
  for (std::size_t i = 0; i < arguments.connections; ++i) {
    clients.push_back(std::make_unique<Client>(i, targets[i % targets.size()], headers, plan, record));
    if (auto started = clients.back()->start(); !started) return started;
    if (clients.back()->descriptor() >= 0) loop.add(*clients.back());
  }
  const auto after = [](double time) { return mono_now() + static_cast<MonoTime>(time * 1e9); };
  if (arguments.warm_up > 0) {
    loop.run(after(arguments.warm_up));
    record = {};
    begin = mono_now();
  }
  loop.run(arguments.seconds > 0 ? after(arguments.seconds) : std::numeric_limits<MonoTime>::max());
  std::cout << record.json(Duration(mono_now() - begin)).dump() << '\n';
  return {};
}

}  // namespace
}  // namespace trireme::load

int main(int argc, char** argv) {
  CLI::App app("A closed loop of HTTP clients");
  trireme::load::Arguments arguments;
  trireme::load::declare(app, arguments);
  CLI11_PARSE(app, argc, argv);
  const trireme::Status status = trireme::load::measure(arguments);
  if (status) return 0;
  std::cerr << "http_load: " << status.error().text() << '\n';
  return 2;
}
