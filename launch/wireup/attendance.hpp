// Which ranks of a job, as far as they are on one host, have begun, finished and gone.
//
// A rank that is gone without having finished leaves the others waiting for it for ever, and so does one that is gone without
// having begun once another has: MPI_Init waits for all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace trireme::wireup {

class Attendance {
 public:
  void enter(std::uint32_t rank) { ranks_[rank].stage = Stage::inside, begun_ = true; }
  void finish(std::uint32_t rank) { ranks_[rank].stage = Stage::finished; }
  void leave(std::uint32_t rank) { ranks_[rank].gone = true; }

  struct Missing {
    std::uint32_t rank;
    std::string what;  ///< "it ended without MPI_Finalize"
  };
  /// A rank that others wait for in vain.
  std::optional<Missing> missing() const {
    for (const auto& [rank, member] : ranks_) {
      if (!member.gone || member.stage == Stage::finished) continue;
      if (member.stage == Stage::inside) return Missing{rank, "it ended without MPI_Finalize"};
      if (begun_) return Missing{rank, "it ended without MPI_Init, in which the other ranks wait for it"};
    }
    return std::nullopt;
  }

 private:
  enum class Stage : std::uint8_t { absent, inside, finished };
  struct Member {
    Stage stage = Stage::absent;
    bool gone = false;
  };
  std::map<std::uint32_t, Member> ranks_;
  bool begun_ = false;
};

}  // namespace trireme::wireup
