// Appends what tasks wrote to their node's data file, and a line for each piece to its index (docs/spec/output.md).
//
// The bytes are written before the lines that tell of them, so that whatever a line tells of is there, however the writer
// ends. What could not be written as a whole is cut off again: the next piece takes its place. Used by one thread; nobody else
// writes these files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "journal/files.hpp"
#include "journal/output_index.hpp"

namespace trireme {

struct OutputPiece {
  const OutputSource* source = nullptr;
  std::string_view bytes;
};

class OutputWriter {
 public:
  /// Makes the files, or goes on after what they hold.
  static Result<OutputWriter> open(std::filesystem::path data, std::filesystem::path index);

  /// All of these, or none.
  Status append(const std::vector<OutputPiece>& pieces);

 private:
  struct File {
    std::filesystem::path path;
    Fd fd;
    std::uint64_t end = 0;  ///< of what is whole
  };
  static Result<File> open_file(std::filesystem::path path);
  static Status write(File& file, std::string_view bytes);
  static void cut(const File& file);
  OutputWriter(File data, File index) : data_(std::move(data)), index_(std::move(index)) {}

  File data_;
  File index_;
  std::string bytes_;
  std::string lines_;
};

}  // namespace trireme
