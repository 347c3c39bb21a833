#include "simulate/lower_bound.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>

namespace trireme::simulate {
namespace {

constexpr std::size_t most_counted = 128;  ///< of more tasks the work says as much as their number does

/// A graph of jobs, in one direction: forwards, or backwards to find tails as heads.
struct Direction {
  std::vector<std::vector<std::uint32_t>> before;
  std::vector<std::uint32_t> order;  ///< each after those before it; shorter than `before` if there is a circle
};

Direction direction(std::vector<std::vector<std::uint32_t>> before) {
  Direction out{std::move(before), {}};
  const std::size_t n = out.before.size();
  std::vector<std::vector<std::uint32_t>> after(n);
  std::vector<std::size_t> open(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    open[i] = out.before[i].size();
    if (open[i] == 0) out.order.push_back(i);
    for (const std::uint32_t b : out.before[i]) after[b].push_back(i);
  }
  for (std::size_t k = 0; k < out.order.size(); ++k) {
    for (const std::uint32_t a : after[out.order[k]]) {
      if (--open[a] == 0) out.order.push_back(a);
    }
  }
  return out;
}

/// What tasks that run after each other or side by side take at least, from the first start to the last end.
class Together {
 public:
  explicit Together(std::uint64_t cores) : cores_(cores) {}

  void add(const Job& job) {
    work_ += job.duration * static_cast<double>(job.cores);
    least_ = std::max({least_, job.duration, work_ / static_cast<double>(cores_)});
    if (job.cores == 0 || longest_first_.size() == most_counted) return;
    longest_first_.insert(
        std::upper_bound(longest_first_.begin(), longest_first_.end(), job.duration, std::greater<>()), job.duration);
    count();
  }
  double least() const { return least_; }

 private:
  void count() {
    sums_.assign(1, 0);
    std::partial_sum(longest_first_.begin(), longest_first_.end(), std::back_inserter(sums_));
    for (std::size_t k = 1; k * cores_ < longest_first_.size(); ++k) {
      const std::size_t end = k * cores_ + 1;
      least_ = std::max(least_, sums_[end] - sums_[end - k - 1]);
    }
  }

  std::uint64_t cores_;
  double work_ = 0;
  double least_ = 0;
  std::vector<double> longest_first_;  ///< durations of those that have a core
  std::vector<double> sums_;
};

std::vector<double> heads(const std::vector<Job>& jobs, const Direction& direction, std::uint64_t cores) {
  const std::size_t n = jobs.size();
  constexpr std::size_t word_bits = 64;
  const std::size_t words = (n + word_bits - 1) / word_bits;
  std::vector<double> heads(n, 0);
  std::vector<std::vector<std::uint64_t>> ancestors(n);  // sets, as bits
  std::vector<std::uint32_t> all;
  for (const std::uint32_t i : direction.order) {
    auto& before = ancestors[i];
    before.resize(words);
    for (const std::uint32_t b : direction.before[i]) {
      heads[i] = std::max(heads[i], heads[b] + jobs[b].duration);
      before[b / word_bits] |= std::uint64_t{1} << (b % word_bits);
      std::transform(before.begin(), before.end(), ancestors[b].begin(), before.begin(), std::bit_or<>());
    }
    all.clear();
    for (std::size_t word = 0; word < words; ++word) {
      for (std::uint64_t left = before[word]; left != 0; left &= left - 1) {
        all.push_back(static_cast<std::uint32_t>(word * word_bits) +
                      static_cast<std::uint32_t>(std::countr_zero(left)));
      }
    }
    std::sort(all.begin(), all.end(), [&](std::uint32_t a, std::uint32_t b) { return heads[a] > heads[b]; });
    Together together(cores);
    for (const std::uint32_t a : all) {
      together.add(jobs[a]);
      heads[i] = std::max(heads[i], heads[a] + together.least());
    }
  }
  return heads;
}

}  // namespace

std::optional<double> precedence_bound(const std::vector<Job>& jobs, std::uint64_t cores) {
  const std::size_t n = jobs.size();
  if (n == 0 || n > most_bounded_jobs || cores == 0) return std::nullopt;
  std::vector<std::vector<std::uint32_t>> before(n);
  std::vector<std::vector<std::uint32_t>> after(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    before[i] = jobs[i].after;
    for (const std::uint32_t b : before[i]) after[b].push_back(i);
  }
  const Direction forwards = direction(std::move(before));
  if (forwards.order.size() < n) return std::nullopt;
  const std::vector<double> head = heads(jobs, forwards, cores);
  const std::vector<double> tail = heads(jobs, direction(std::move(after)), cores);

  double bound = 0;
  std::vector<std::uint32_t> longest_tail_first(n);
  std::iota(longest_tail_first.begin(), longest_tail_first.end(), 0u);
  std::sort(longest_tail_first.begin(), longest_tail_first.end(),
            [&](std::uint32_t a, std::uint32_t b) { return tail[a] > tail[b]; });
  std::vector<double> from = head;
  std::sort(from.begin(), from.end());
  from.erase(std::unique(from.begin(), from.end()), from.end());
  for (const double a : from) {
    Together together(cores);
    for (const std::uint32_t i : longest_tail_first) {
      if (head[i] < a) continue;
      together.add(jobs[i]);
      bound = std::max(bound, a + together.least() + tail[i]);
    }
  }
  return bound;
}

}  // namespace trireme::simulate
