// One node's part of an MPICH task, as its ranks see it: the server side of the PMI-1 wire protocol (docs/spec/launch.md).
//
// A rank speaks in lines, one command each, and waits for the answer to each. What it puts is seen by all ranks after the next
// barrier: at a barrier the nodes exchange what was put since the last one. Pure: lines in, lines and exchanges out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/messages.hpp"
#include "core/result.hpp"
#include "launch/wireup/attendance.hpp"

namespace trireme::pmi {

/// What the protocol allows; the same as MPICH's own launcher says.
constexpr std::size_t max_name = 256;
constexpr std::size_t max_key = 64;
constexpr std::size_t max_value = 1024;
constexpr std::size_t max_line = 4096;

struct JobSettings {
  std::string name;  ///< of its key-value space
  std::uint32_t size = 1;
  std::uint32_t first_rank = 0;
  std::uint32_t local_ranks = 1;
  std::string mapping;  ///< of ranks to hosts (process_mapping()); empty: not told
};

struct JobOutput {
  std::function<void(std::uint32_t rank, std::string line)> send;  ///< the line with its newline
  /// All ranks here are at a barrier: bring this to the other nodes, and all that they give to on_gathered().
  std::function<void(std::string given)> exchange;
  std::function<void(std::uint32_t rank, std::int32_t exit_code)> abort;
};

class Job {
 public:
  Job(JobSettings settings, JobOutput output);

  /// One line, without its newline. Fails where it is no PMI-1; the rank should then be ended.
  Status on_line(std::uint32_t rank, std::string_view line);
  void on_gathered(const std::vector<std::string>& given);
  /// The rank's process has ended, and well.
  void on_left(std::uint32_t rank) { attendance_.leave(rank); }
  const wireup::Attendance& attendance() const { return attendance_; }

 private:
  struct Member {
    bool at_barrier = false;
    bool in_spawn = false;  ///< inside a spawn command, which has several lines
  };
  using Fields = std::map<std::string, std::string, std::less<>>;

  void answer(std::uint32_t rank, std::string line);
  Status put(std::uint32_t rank, const Fields& fields);
  void get(std::uint32_t rank, const Fields& fields);
  void barrier(std::uint32_t rank);
  Member& member(std::uint32_t rank) { return members_[rank - settings_.first_rank]; }

  JobSettings settings_;
  JobOutput output_;
  std::vector<Member> members_;
  wireup::Attendance attendance_;
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::pair<std::string, std::string>> fresh_;  ///< put since the last barrier
};

/// "(vector,(0,2,4))": which ranks share a host, in PMI's words. `host_of` tells hosts apart. Empty if it would be longer than a
/// value may be; MPICH then compares host names.
std::string process_mapping(const std::vector<RankBlock>& layout, const std::function<std::uint32_t(Rank)>& host_of);

}  // namespace trireme::pmi
