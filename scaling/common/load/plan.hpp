// What the clients of a measurement shall ask, and in which order.
//
// Jobs lie in one list. Clients that share take the next one whenever they are free; pinned ones have each their own part of
// the list (client i of n takes jobs i, i+n, …) and their own server, whatever the others do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "proxy/http/client.hpp"

namespace trireme::load {

struct Target {
  proxy::http::LocalAddress address;
  std::string prefix;  ///< of every path: "/services/llama"
};
/// "http://127.0.0.1:8000/services/llama" or "unix:/path".
Result<Target> parse_target(const std::string& url);

struct Job {
  std::string path;
  std::string body;  ///< empty: a GET
};

class Plan {
 public:
  Plan(std::vector<Job> jobs, std::uint64_t count, std::size_t clients, bool pinned)
      : jobs_(std::move(jobs)), count_(count), clients_(clients), pinned_(pinned), taken_(clients) {}

  /// The number of the client's next job, or nothing when it is done.
  std::optional<std::uint64_t> next(std::size_t client) {
    const std::uint64_t number = pinned_ ? client + clients_ * taken_[client]++ : shared_++;
    if (number >= count_) return std::nullopt;
    return number;
  }
  /// Jobs beyond the list's end begin it again.
  const Job& job(std::uint64_t number) const { return jobs_[number % jobs_.size()]; }

 private:
  std::vector<Job> jobs_;
  std::uint64_t count_;
  std::size_t clients_;
  bool pinned_;
  std::uint64_t shared_ = 0;
  std::vector<std::uint64_t> taken_;
};

}  // namespace trireme::load
