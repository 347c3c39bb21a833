// Prints what the fabric costs between two ranks: round trips while both poll (hot), round trips
// between ranks that sleep (cold), and the processor time of an idle rank. `--quick` measures
// briefly; `--full` also holds the figures against the design's, with room for slow machines.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <random>
#include <thread>
#include <vector>

#include "fabric/progress.hpp"
#include "harness.hpp"

using namespace trireme;
using namespace trireme::ranks;

namespace {

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double microseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};
Percentiles percentiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 99 / 100]};
}

class Pair {
 public:
  explicit Pair(Fabric& fabric) : fabric_(fabric) {
    handler_.message = [this](Rank from, MessageKind kind, std::string_view payload) {
      if (kind == MessageKind::slot_ask) {
        fabric_.send(from, MessageClass::control, MessageKind::slot_grant, std::string(payload));
      } else if (kind == MessageKind::to_agent) {
        over_ = true;
      } else {
        ++answers_;
      }
    };
  }

  void hot(std::size_t size, int count) {
    phase(
        [&] {
          std::vector<double> times;
          for (int i = 0; i < count; ++i) {
            const auto start = Clock::now();
            ask(size);
            while (answers_ <= i) poll_once(fabric_, handler_);
            times.push_back(microseconds(Clock::now() - start));
          }
          const Percentiles result = percentiles(times);
          std::printf("hot round trip, %zu bytes: p50 %.1f us, p99 %.1f us\n", size, result.p50, result.p99);
        },
        [&] {
          while (!over_) poll_once(fabric_, handler_);
        });
  }

  void bulk(int mebibytes) {
    phase(
        [&] {
          const auto start = Clock::now();
          for (int sent = 0; sent < mebibytes || fabric_.backlog(1, MessageClass::bulk) > 0;) {
            if (sent < mebibytes && fabric_.backlog(1, MessageClass::bulk) < (1u << 20)) {
              fabric_.send(1, MessageClass::bulk, MessageKind::call_data, std::string(1u << 20, 'b'));
              ++sent;
            }
            poll_once(fabric_, handler_);
          }
          ask(8);
          while (answers_ < 1) poll_once(fabric_, handler_);
          const double seconds = 1e-6 * microseconds(Clock::now() - start);
          std::printf("bulk one way: %.0f MiB/s\n", mebibytes / seconds);
        },
        [&] {
          while (!over_) poll_once(fabric_, handler_);
        });
  }

  double cold(int count) {
    double p50 = 0;
    phase(
        [&] {
          std::vector<double> times;
          std::mt19937 random(1);
          boost::asio::io_context io;
          boost::asio::steady_timer timer(io);
          for (int i = 0; i < count; ++i) {
            bool asked = false;
            Clock::time_point start;
            timer.expires_after(std::chrono::microseconds(15000 + random() % 5000));
            timer.async_wait([&](const boost::system::error_code&) {
              start = Clock::now();
              asked = true;
              ask(8);
            });
            run_until(io, fabric_, handler_, [&] { return asked && answers_ > i; });
            times.push_back(microseconds(Clock::now() - start));
          }
          const Percentiles result = percentiles(times);
          p50 = result.p50;
          std::printf("cold round trip: p50 %.0f us, p99 %.0f us\n", result.p50, result.p99);
        },
        [&] {
          boost::asio::io_context io;
          run_until(io, fabric_, handler_, [&] { return over_; });
        });
    return p50;
  }

  /// Returns how much more of a core it takes than a bare loop that sleeps as often.
  double idle(std::chrono::seconds duration) {
    const double bare_before = processor_seconds();
    const auto bare_end = Clock::now() + duration;
    while (Clock::now() < bare_end) std::this_thread::sleep_for(defaults::sleep_max);
    const double bare = processor_seconds() - bare_before;

    boost::asio::io_context io;
    boost::asio::steady_timer timer(io);
    bool done = false;
    timer.expires_after(duration);
    timer.async_wait([&](const boost::system::error_code&) { done = true; });
    const double before = processor_seconds();
    run_until(io, fabric_, handler_, [&] { return done; });
    const double ours = processor_seconds() - before;
    const auto percent = 100.0 / static_cast<double>(duration.count());
    std::printf("rank %d idle for %d s: %.2f %% of a core; a bare loop of sleeps %.2f %%\n", fabric_.rank(),
                static_cast<int>(duration.count()), percent * ours, percent * bare);
    return percent * (ours - bare) / 100;
  }

  bool close() { return ranks::close(fabric_, handler_); }

 private:
  void ask(std::size_t size) { fabric_.send(1, MessageClass::control, MessageKind::slot_ask, std::string(size, 'q')); }
  template <typename Ask, typename Answer>
  void phase(Ask&& ask, Answer&& answer) {
    answers_ = 0;
    over_ = false;
    if (fabric_.rank() == 0) {
      ask();
      fabric_.send(1, MessageClass::control, MessageKind::to_agent, {});
      poll_once(fabric_, handler_);
    } else if (fabric_.rank() == 1) {
      answer();
    }
  }

  Fabric& fabric_;
  Handler handler_;
  int answers_ = 0;
  bool over_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const bool quick = mode == "--quick";
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  bool good = true;
  {
    auto fabric = Fabric::create(MPI_COMM_WORLD);
    if (!fabric || (*fabric)->size() < 2) {
      std::fprintf(stderr, "start it with two ranks\n");
      MPI_Abort(MPI_COMM_WORLD, 2);
    }
    Pair pair(**fabric);
    pair.hot(8, quick ? 1000 : 20000);
    pair.hot(16u << 10, quick ? 500 : 5000);
    pair.bulk(quick ? 64 : 512);
    const double cold = pair.cold(quick ? 30 : 300);
    const double share = pair.idle(std::chrono::seconds(quick ? 1 : 10));
    if (mode == "--full") good = cold < 10000 && share < 0.03;
    good = pair.close() && good;
  }
  MPI_Finalize();
  return good ? 0 : 1;
}
