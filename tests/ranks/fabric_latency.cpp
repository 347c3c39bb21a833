// Prints what the fabric costs between two ranks: round trips while both poll (hot), round trips
// between ranks that sleep (cold), and the processor time of an idle rank. `--quick` measures
// briefly; `--full` also holds the figures against the design's, with room for slow machines;
// `--cold` measures cold round trips alone.
#include <time.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <random>
#include <string>
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

class Pair {
 public:
  explicit Pair(Fabric& fabric) : fabric_(fabric) {
    handler_.message = [this](Rank from, MessageKind kind, std::string_view payload) {
      if (kind == MessageKind::slot_ask) {
        fabric_.send(from, MessageClass::control, MessageKind::slot_grant, std::string(payload));
      } else if (kind == MessageKind::to_agent) {
        over_ = true;
      } else if (kind == MessageKind::slot_grant) {
        times_.push_back(microseconds(Clock::now() - asked_));
        if (on_answer_) on_answer_();
      }
    };
  }

  void hot(std::size_t size, std::size_t count) {
    phase([&] {
      on_answer_ = [&] {
        if (times_.size() < count) ask(size);
      };
      ask(size);
      run([&] { return times_.size() == count; });
      report("hot round trip, " + std::to_string(size) + " bytes");
    });
  }

  void bulk(int mebibytes) {
    phase([&] {
      const auto start = Clock::now();
      int sent = 0;
      run([&] {
        while (sent < mebibytes && fabric_.backlog(1, MessageClass::bulk) < (1u << 20)) {
          fabric_.send(1, MessageClass::bulk, MessageKind::call_data, std::string(1u << 20, 'b'));
          ++sent;
        }
        return sent == mebibytes && fabric_.backlog(1, MessageClass::bulk) == 0;
      });
      ask(8);
      run([&] { return !times_.empty(); });
      std::printf("bulk one way: %.0f MiB/s\n", mebibytes / (1e-6 * microseconds(Clock::now() - start)));
    });
  }

  double cold(std::size_t count) {
    double p50 = 0;
    phase([&] {
      std::mt19937 random(1);
      boost::asio::steady_timer timer(io_);
      const auto ask_later = [&] {
        timer.expires_after(std::chrono::microseconds(15000 + random() % 5000));
        timer.async_wait([this](const boost::system::error_code& cancelled) {
          if (!cancelled) ask(8);
        });
      };
      on_answer_ = [&] {
        if (times_.size() < count) ask_later();
      };
      ask_later();
      run([&] { return times_.size() == count; });
      p50 = report("cold round trip");
    });
    return p50;
  }

  /// Returns how much more of a core it takes than a bare loop that sleeps as often.
  double idle(std::chrono::seconds duration) {
    const double bare_before = processor_seconds();
    const auto bare_end = Clock::now() + duration;
    while (Clock::now() < bare_end) std::this_thread::sleep_for(defaults::sleep_max);
    const double bare = processor_seconds() - bare_before;

    boost::asio::steady_timer timer(io_);
    bool done = false;
    timer.expires_after(duration);
    timer.async_wait([&](const boost::system::error_code&) { done = true; });
    const double before = processor_seconds();
    run([&] { return done; });
    const double ours = processor_seconds() - before;
    const auto percent = 100.0 / static_cast<double>(duration.count());
    std::printf("rank %d idle for %d s: %.2f %% of a core; a bare loop of sleeps %.2f %%\n", fabric_.rank(),
                static_cast<int>(duration.count()), percent * ours, percent * bare);
    return percent * (ours - bare) / 100;
  }

  bool close() { return ranks::close(fabric_, handler_); }

 private:
  void ask(std::size_t size) {
    asked_ = Clock::now();
    fabric_.send(1, MessageClass::control, MessageKind::slot_ask, std::string(size, 'q'));
  }
  void run(const std::function<bool()>& stop) { run_until(io_, fabric_, handler_, stop); }
  double report(const std::string& what) {
    std::sort(times_.begin(), times_.end());
    const double p50 = times_[times_.size() / 2];
    std::printf("%s: p50 %.1f us, p99 %.1f us\n", what.c_str(), p50, times_[times_.size() * 99 / 100]);
    return p50;
  }
  /// Rank 0 asks, rank 1 answers until it hears that it is over.
  void phase(const std::function<void()>& ask_all) {
    times_.clear();
    on_answer_ = nullptr;
    over_ = false;
    if (fabric_.rank() == 1) return run([&] { return over_; });
    if (fabric_.rank() != 0) return;
    ask_all();
    on_answer_ = nullptr;
    fabric_.send(1, MessageClass::control, MessageKind::to_agent, {});
    poll_once(fabric_, handler_);
  }

  Fabric& fabric_;
  Handler handler_;
  boost::asio::io_context io_;
  std::function<void()> on_answer_;
  std::vector<double> times_;
  Clock::time_point asked_;
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
    if (mode == "--cold") {
      pair.cold(300);
    } else {
      pair.hot(8, quick ? 1000 : 20000);
      pair.hot(16u << 10, quick ? 500 : 5000);
      pair.bulk(quick ? 64 : 512);
      const double cold = pair.cold(quick ? 30 : 300);
      const double share = pair.idle(std::chrono::seconds(quick ? 1 : 10));
      if (mode == "--full") good = cold < 10000 && share < 0.03;
    }
    good = pair.close() && good;
  }
  MPI_Finalize();
  return good ? 0 : 1;
}
