// Bringing files into a task's folder before it starts, and its outputs to where they belong when it has ended well.
//
// All of this blocks and belongs on a FileWorker. A file appears under its final name only when it is whole: it is written
// beside it and renamed. So readers never see half a file, an attempt that is repeated replaces what an earlier one left, and
// several nodes that stage the same input into one folder do each other no harm. A folder is made whole beside its place if
// there is nothing yet; otherwise its files are replaced one by one.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "core/description.hpp"
#include "core/result.hpp"

namespace trireme {

/// A Staging whose templates are expanded. Relative paths are under the task's folder.
struct FileMove {
  std::string from;  ///< a URL where the mode is `transfer`
  std::string to;
  StagingMode mode = StagingMode::copy;
  bool operator==(const FileMove&) const = default;
};

/// Error::what of work that was stopped by its token.
inline constexpr const char* staging_stopped = "stopped";

/// Brings in each; an empty `to` is the last component of `from`. `broadcast` is a copy.
Status stage_in(const std::filesystem::path& folder, const std::vector<FileMove>& inputs, const std::stop_token& stop);

/// Checks that every `from` is there, then brings each to its `to` (whose parents are made); an empty `to`, or the same path,
/// is a promise and no more.
Status stage_out(const std::filesystem::path& folder, const std::vector<FileMove>& outputs,
                 const std::stop_token& stop);

/// A folder and its parents; fine if it is there already.
Status make_folder(const std::filesystem::path& path);

}  // namespace trireme
