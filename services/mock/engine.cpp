#include "services/mock/engine.hpp"

#include <algorithm>
#include <utility>

namespace trireme::mock {

JobId Engine::submit(Duration now, Job job) {
  waiting_.push_back({.id = ++last_, .job = std::move(job)});
  if (!step_ends_) begin_step(now);
  return last_;
}

void Engine::cancel(JobId id) {
  std::erase_if(waiting_, [id](const Request& request) { return request.id == id; });
  const auto found = std::ranges::find(running_, id, &Request::id);
  if (found == running_.end()) return;
  leave(*found);
  running_.erase(found);
}

std::optional<Duration> Engine::due() const {
  return step_ends_;
}

std::vector<Progress> Engine::advance(Duration now) {
  std::vector<Progress> out;
  while (step_ends_ && *step_ends_ <= now) {
    const Duration end = *std::exchange(step_ends_, std::nullopt);
    end_step(out);
    begin_step(end);
  }
  return out;
}

void Engine::admit() {
  while (!waiting_.empty() && running_.size() < cost_.max_batch) {
    Request& next = waiting_.front();
    const std::size_t needs = reserves(next.job);
    if (reserved_ + needs > cost_.kv_tokens) return;
    // The last token of a prompt is always computed: it is what the first token of the answer comes from.
    const std::size_t most = next.job.prompt_tokens == 0 ? 0 : next.job.prompt_tokens - 1;
    next.computed = std::min(cache_.match(next.job.blocks) * cost_.block, most);
    cached_ += next.computed;
    prompted_ += next.job.prompt_tokens;
    reserved_ += needs;
    cache_.shrink(cache_room());
    running_.push_back(std::move(next));
    waiting_.pop_front();
  }
}

void Engine::begin_step(Duration now) {
  admit();
  if (running_.empty()) return;
  std::size_t chunk = cost_.prefill_chunk;
  std::size_t taking_part = 0;
  for (Request& request : running_) {
    const std::size_t left = request.job.prompt_tokens - request.computed;
    request.in_step = std::min(left, chunk);
    chunk -= request.in_step;
    if (left == 0 || request.in_step > 0) ++taking_part;
  }
  const auto prefill = static_cast<double>(cost_.prefill_chunk - chunk) / cost_.prefill_rate;
  step_ends_ = now + cost_.step_base + cost_.step_per_request * static_cast<std::int64_t>(taking_part) +
               std::chrono::duration_cast<Duration>(std::chrono::duration<double>(prefill));
}

void Engine::end_step(std::vector<Progress>& out) {
  for (Request& request : running_) {
    request.computed += std::exchange(request.in_step, 0);
    if (request.computed < request.job.prompt_tokens) continue;
    if (request.job.output_tokens > 0) ++request.tokens;
    const bool finished = request.tokens == request.job.output_tokens;
    out.push_back({request.id, request.tokens, finished});
    if (finished) leave(request);
  }
  std::erase_if(running_, [](const Request& request) {
    return request.computed >= request.job.prompt_tokens && request.tokens == request.job.output_tokens;
  });
}

/// Gives the memory back; what was computed of the prompt stays in the cache.
void Engine::leave(Request& request) {
  reserved_ -= reserves(request.job);
  request.job.blocks.resize(std::min(request.job.blocks.size(), request.computed / cost_.block));
  cache_.insert(request.job.blocks, cache_room());
}

}  // namespace trireme::mock
