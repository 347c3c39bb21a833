// zmq_pair serve ADDRESS | zmq_pair ask ADDRESS CLIENTS SECONDS: ZeroMQ REQ/REP, no-op requests from that many threads, as JSON.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

namespace {

using Clock = std::chrono::steady_clock;

int serve(const std::string& address) {
  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::rep);
  socket.bind(address);
  zmq::message_t request;
  for (;;) {
    if (socket.recv(request)) socket.send(zmq::buffer("", 0), zmq::send_flags::none);
  }
}

int ask(const std::string& address, std::size_t clients, double seconds) {
  zmq::context_t context;
  std::atomic<bool> counting = false;
  std::atomic<bool> over = false;
  std::vector<std::vector<float>> latencies(clients);
  std::vector<std::thread> threads;
  for (auto& own : latencies) {
    threads.emplace_back([&] {
      zmq::socket_t socket(context, zmq::socket_type::req);
      socket.connect(address);
      zmq::message_t answer;
      while (!over) {
        const bool counts = counting;
        const auto sent = Clock::now();
        socket.send(zmq::buffer("", 0), zmq::send_flags::none);
        if (socket.recv(answer) && counts && !over)
          own.push_back(std::chrono::duration<float>(Clock::now() - sent).count());
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 4));
  counting = true;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  over = true;
  for (auto& thread : threads) thread.join();
  std::vector<float> all;
  for (const auto& own : latencies) all.insert(all.end(), own.begin(), own.end());
  std::sort(all.begin(), all.end());
  const auto at = [&](double part) {
    return all.empty() ? 0 : all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
  };
  std::printf("{\"requests\": %zu, \"failed\": 0, \"seconds\": %.6f, \"p50_s\": %.9f, \"p99_s\": %.9f}\n", all.size(),
              seconds, at(0.5), at(0.99));
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::string(arguments[1]) == "serve") return serve(arguments[2]);
  if (count == 5 && std::string(arguments[1]) == "ask")
    return ask(arguments[2], std::strtoul(arguments[3], nullptr, 10), std::atof(arguments[4]));
  std::fprintf(stderr, "usage: zmq_pair serve ADDRESS | zmq_pair ask ADDRESS CLIENTS SECONDS\n");
  return 2;
}
