// The ends of calls that an executor has gathered and not sent, in a file that it maps (services/executor/frames.hpp): what it dies of
// does not matter, its agent knows which calls were over and which one ran. The file goes with this.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/result.hpp"

namespace trireme {

class UnsentEnds {
 public:
  /// Makes the file, with room on its disk: who writes into a map without it is killed.
  static Result<std::unique_ptr<UnsentEnds>> make(std::filesystem::path path);
  ~UnsentEnds();
  UnsentEnds(const UnsentEnds&) = delete;
  UnsentEnds& operator=(const UnsentEnds&) = delete;

  /// The frames that are there now.
  std::string read() const;

 private:
  explicit UnsentEnds(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace trireme
