// Finds what one process wrote in the streamed output of a node, while it is being written and after.
//
// Only whole lines of the index count, and only bytes that agree with their checksum; the rest is passed over and counted.
// The index is read once from its beginning and then on from where it ended; nothing is kept but the places of the pieces.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/output_index.hpp"

namespace trireme {

class OutputReader {
 public:
  OutputReader(std::filesystem::path data, std::filesystem::path index, OutputSource source)
      : data_(std::move(data)), index_(std::move(index)), source_(std::move(source)) {}

  /// Hands on, in order, what has been written since the last call.
  void read_new(const std::function<void(std::string_view bytes)>& take);
  /// The last bytes, at least so many if there are; whole pieces.
  std::string tail(std::size_t bytes);
  /// Of the source's pieces, those that were damaged or are missing.
  std::uint64_t damaged() const { return damaged_; }

 private:
  std::vector<OutputRecord> new_records();
  bool read(const OutputRecord& record, std::string& out) const;

  std::filesystem::path data_;
  std::filesystem::path index_;
  OutputSource source_;
  std::uint64_t index_end_ = 0;  ///< of what has been read
  std::uint64_t damaged_ = 0;
};

}  // namespace trireme
