#include "services/mock/engine.hpp"

#include <doctest/doctest.h>

#include <map>

#include "services/mock/text.hpp"

using namespace trireme;
using namespace trireme::mock;
using namespace std::chrono_literals;

namespace {

/// Costs that can be added up in the head: a token of a prompt is 1 ms.
CostModel plain() {
  CostModel cost;
  cost.prefill_rate = 1000;
  cost.step_base = 10ms;
  cost.step_per_request = 2ms;
  cost.max_batch = 4;
  cost.kv_tokens = 1000;
  cost.prefill_chunk = 100;
  return cost;
}

/// Runs until nothing is left; when each job finished.
std::map<JobId, Duration> run(Engine& engine) {
  std::map<JobId, Duration> finished;
  while (const auto due = engine.due()) {
    for (const Progress& progress : engine.advance(*due)) {
      if (progress.finished) finished[progress.job] = *due;
    }
  }
  return finished;
}

Job job(std::size_t prompt, std::size_t output) {
  return {.prompt_tokens = prompt, .output_tokens = output};
}

}  // namespace

TEST_CASE("engine: a request costs its prompt once and a step for each token") {
  Engine engine(plain());
  const JobId id = engine.submit(0ms, job(30, 3));
  CHECK(run(engine).at(id) == (10ms + 2ms + 30ms) + 2 * (10ms + 2ms));
  CHECK(engine.reserved_tokens() == 0);
}

TEST_CASE("engine: who comes during a step joins at its end, and both share the steps") {
  Engine engine(plain());
  const JobId first = engine.submit(0ms, job(10, 3));   // its first step ends at 22 ms
  const JobId second = engine.submit(5ms, job(20, 1));  // joins it: 10 + 2 * 2 + 20 ms
  const auto finished = run(engine);
  CHECK(finished.at(second) == 56ms);
  CHECK(finished.at(first) == 68ms);
}

TEST_CASE("engine: a long prompt is computed in chunks and does not stop the others") {
  Engine engine(plain());
  engine.submit(0ms, job(1, 5));
  engine.submit(0ms, job(250, 1));
  std::size_t tokens = 0;
  engine.advance(*engine.due());  // the first alone: 13 ms
  for (int chunk = 0; chunk < 2; ++chunk) {
    for (const Progress& progress : engine.advance(*engine.due())) tokens += progress.job == 1;
  }
  CHECK(tokens == 2);
  CHECK(*engine.due() == 13ms + 2 * (10ms + 2 * 2ms + 100ms) + (10ms + 2 * 2ms + 50ms));
}

TEST_CASE("engine: the batch and the memory bound what runs, in the order of arrival") {
  Engine engine(plain());
  for (int i = 0; i < 6; ++i) engine.submit(0ms, job(1, 10));
  engine.advance(*engine.due());
  CHECK(engine.running() == 4);
  CHECK(engine.waiting() == 2);

  Engine small(plain());
  small.submit(0ms, job(300, 300));
  small.submit(0ms, job(300, 300));  // 1,200 tokens in all
  small.submit(0ms, job(10, 1));     // would fit, but waits for its turn
  small.advance(*small.due());
  CHECK(small.running() == 1);
  CHECK(small.waiting() == 2);
  CHECK(run(small).size() == 3);
  CHECK_FALSE(small.fits(job(900, 101)));
  CHECK(small.fits(job(900, 100)));
}

TEST_CASE("engine: the beginning that prompts share is computed once") {
  const std::string shared(64 * 10, 'a');  // ten blocks of 16 tokens
  Engine engine(plain());
  const auto ask = [&](const std::string& prompt) {
    const Duration begin = engine.due().value_or(1s * static_cast<int>(engine.prompt_tokens()));
    const JobId id = engine.submit(
        begin, {.blocks = prompt_blocks(prompt, 16), .prompt_tokens = count_tokens(prompt), .output_tokens = 1});
    return run(engine).at(id) - begin;
  };
  const Duration cold = ask(shared + "one question");
  const Duration warm = ask(shared + "or another!!");
  CHECK(cold - warm >= 160ms);  // and the second chunk's step
  CHECK(engine.cached_tokens() == 160);
  const Duration other = ask(std::string(64 * 10, 'b') + "one question");
  CHECK(other == cold);
}

TEST_CASE("engine: a cancelled request gives its room back") {
  Engine engine(plain());
  const JobId running = engine.submit(0ms, job(10, 500));
  const JobId waiting = engine.submit(0ms, job(10, 500));
  engine.cancel(waiting);
  engine.cancel(running);
  engine.cancel(running);
  CHECK(engine.reserved_tokens() == 0);
  CHECK(run(engine).empty());
  CHECK_FALSE(engine.due());
}

TEST_CASE("engine: a clock that jumps loses no step") {
  Engine steady(plain());
  Engine jumping(plain());
  for (Engine* engine : {&steady, &jumping}) {
    engine->submit(0ms, job(10, 20));
    engine->submit(0ms, job(50, 5));
  }
  const Duration last = run(steady).at(1);
  std::size_t finished = 0;
  for (const Progress& progress : jumping.advance(last)) finished += progress.finished;
  CHECK(finished == 2);
  CHECK_FALSE(jumping.due());
}

TEST_CASE("prefix cache: the least recently used is dropped, the beginning of a prompt last") {
  PrefixCache cache;
  cache.insert({1, 2, 3}, 5);
  cache.insert({4, 5}, 5);
  CHECK(cache.match({1, 2}) == 2);
  cache.insert({6}, 5);
  CHECK(cache.match({1, 2, 3}) == 2);
  CHECK(cache.match({4, 5}) == 2);
  cache.shrink(1);
  CHECK(cache.size() == 1);
  CHECK(cache.match({4, 5}) == 1);
}
