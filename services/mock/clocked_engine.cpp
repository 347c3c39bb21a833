#include "services/mock/clocked_engine.hpp"

namespace trireme::mock {

ClockedEngine::ClockedEngine(boost::asio::io_context& io, CostModel cost, double speed)
    : engine_(cost), speed_(speed), timer_(io) {}

Duration ClockedEngine::now() const {
  return std::chrono::duration_cast<Duration>(Duration(mono_now() - begin_) * speed_);
}

JobId ClockedEngine::start(Job job, TokenSink& sink) {
  const bool idle = !engine_.due();
  const JobId id = engine_.submit(now(), std::move(job));
  sinks_.emplace(id, &sink);
  if (idle) wait();
  return id;
}

void ClockedEngine::stop(JobId job) {
  if (sinks_.erase(job) > 0) engine_.cancel(job);
}

void ClockedEngine::wait() {
  const auto due = engine_.due();
  if (!due) return;
  timer_.expires_after(std::chrono::duration_cast<Duration>((*due - now()) / speed_));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

void ClockedEngine::tick() {
  for (const Progress& progress : engine_.advance(now())) {
    const auto found = sinks_.find(progress.job);
    if (found == sinks_.end()) continue;  // stopped by what was told before
    TokenSink& sink = *found->second;
    if (progress.finished) sinks_.erase(found);
    sink.on_tokens(progress);
  }
  wait();
}

}  // namespace trireme::mock
