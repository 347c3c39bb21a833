// An Engine on the real clock, which may run faster or slower than real time.
//
// One timer waits for the end of the present step. Whoever started a job is told of its tokens from the event loop, never
// from inside start() or stop(), and not after stop().
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <vector>

#include "services/mock/engine.hpp"

namespace trireme::mock {

class TokenSink {
 public:
  virtual void on_tokens(const Progress& progress) = 0;

 protected:
  ~TokenSink() = default;
};

class ClockedEngine {
 public:
  /// A speed of 2 makes a second of the cost model half a second.
  ClockedEngine(boost::asio::io_context& io, CostModel cost, double speed);

  bool fits(const Job& job) const { return engine_.fits(job); }
  JobId start(Job job, TokenSink& sink);
  void stop(JobId job);
  const Engine& engine() const { return engine_; }

 private:
  Duration now() const;
  void wait();
  void tick();

  Engine engine_;
  const double speed_;
  const MonoTime begin_ = mono_now();
  boost::asio::steady_timer timer_;
  std::map<JobId, TokenSink*> sinks_;
};

}  // namespace trireme::mock
