// The cost model of a continuous-batching inference engine, on a clock that the caller moves.
//
// The engine works in steps. A step takes
//
//     step_base + step_per_request x (requests in it) + (prompt tokens computed in it) / prefill_rate
//
// and gives every request whose prompt is complete one token. Requests join between steps, in the order of their arrival, as
// long as the batch and the memory have room: a request reserves its prompt and its whole answer at once, so none is ever
// preempted. A long prompt is computed in chunks over several steps. The blocks of finished prompts stay in the memory that
// nobody has reserved, and the beginning of a prompt that is found there is not computed again.
//
// Nothing here reads a clock or is random: the same calls give the same times.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/units.hpp"
#include "services/mock/prefix_cache.hpp"

namespace trireme::mock {

/// Defaults: a model of eight billion parameters on one large GPU.
struct CostModel {
  double prefill_rate = 8000;  ///< prompt tokens per second
  Duration step_base = std::chrono::milliseconds(6);
  Duration step_per_request = std::chrono::microseconds(350);
  std::size_t max_batch = 64;        ///< requests in a step
  std::size_t kv_tokens = 200'000;   ///< tokens that the memory holds
  std::size_t prefill_chunk = 2048;  ///< prompt tokens in a step
  std::size_t block = 16;            ///< tokens in a block of the prefix cache
};

struct Job {
  std::vector<std::uint64_t> blocks;  ///< of the prompt, as PrefixCache names them
  std::size_t prompt_tokens = 0;
  std::size_t output_tokens = 0;  ///< 0: the prompt alone is computed (an embedding)
};

using JobId = std::uint64_t;

/// What a step did for a request.
struct Progress {
  JobId job = 0;
  std::size_t tokens = 0;  ///< of the answer so far
  bool finished = false;   ///< the engine has forgotten the request
};

class Engine {
 public:
  explicit Engine(CostModel cost) : cost_(cost) {}

  /// Whether a job of that size can ever run.
  bool fits(const Job& job) const { return job.prompt_tokens + job.output_tokens <= cost_.kv_tokens; }
  /// Times are since an arbitrary beginning and never go back.
  JobId submit(Duration now, Job job);
  /// The request's client is gone. An unknown id is nothing.
  void cancel(JobId job);
  /// When the present step ends; nothing while there is no work.
  std::optional<Duration> due() const;
  /// Completes every step that has ended by now.
  std::vector<Progress> advance(Duration now);

  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t reserved_tokens() const { return reserved_; }
  /// Prompt tokens that were found in the cache, of all that were asked for.
  std::uint64_t cached_tokens() const { return cached_; }
  std::uint64_t prompt_tokens() const { return prompted_; }

 private:
  struct Request {
    JobId id;
    Job job;
    std::size_t computed = 0;  ///< of the prompt
    std::size_t in_step = 0;   ///< prompt tokens of the present step
    std::size_t tokens = 0;
  };
  static std::size_t reserves(const Job& job) { return job.prompt_tokens + job.output_tokens; }
  std::size_t cache_room() const { return (cost_.kv_tokens - reserved_) / cost_.block; }
  void admit();
  void begin_step(Duration now);
  void end_step(std::vector<Progress>& out);
  void leave(Request& request);

  const CostModel cost_;
  PrefixCache cache_;
  std::deque<Request> waiting_;
  std::deque<Request> running_;  ///< in the order of their arrival
  std::size_t reserved_ = 0;
  std::optional<Duration> step_ends_;
  JobId last_ = 0;
  std::uint64_t cached_ = 0;
  std::uint64_t prompted_ = 0;
};

}  // namespace trireme::mock
