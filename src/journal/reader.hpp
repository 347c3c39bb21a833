// Reads the event log of a run, while it is written or after: from this host or another, without locks or mmap.
//
// The file is opened anew whenever more of it is wanted, because a network file system shows what another host appended only
// then. Nothing in a log can make a reader fail: bytes that are no record are reported as a problem with segment and offset,
// and reading goes on at the next record that is intact. At the end of the last segment such bytes are the torn tail of a
// writer that is about to finish them or that died; they are no problem, and reading them again later is what next() does.
//
// Invariant: the events of an intact log are returned once each, in the order in which they were recorded.
// A reader belongs to one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "core/result.hpp"

namespace trireme {

/// The numbers of the segments in a folder of an event log, in order. Empty too where there is no such folder.
std::vector<std::uint32_t> list_segments(const std::filesystem::path& events);

struct LogPosition {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0;
  bool operator==(const LogPosition&) const = default;
};

/// Bytes of the log that could not be read as events.
struct LogProblem {
  LogPosition at;
  std::uint64_t bytes = 0;  ///< that were passed over
  std::string what;
  /// "00000001.log, offset 1234: 56 bytes are damaged and were passed over".
  std::string text() const;
};

struct ReaderOptions {
  std::uint32_t first_segment = 0;
  /// The log is read while it grows: a hole in the last segment that was not there a moment ago is given some time, since
  /// network file systems may show late data first.
  bool follow = false;
};

class JournalReader {
 public:
  /// An error where there is no event log.
  static Result<JournalReader> open(const std::filesystem::path& events, ReaderOptions options = {});

  /// The next event, or nothing at the end of what is there now; calling again later goes on from there.
  std::optional<Event> next();

  /// Waits until next() may have more, or the time is over: whether there may be more. Polls, since that is all that a
  /// parallel file system offers.
  bool wait(std::chrono::nanoseconds timeout) const;

  /// After next() returned nothing: where the incomplete last record begins, if there is one.
  std::optional<LogPosition> torn_tail() const;

  const std::vector<LogProblem>& problems() const { return problems_; }
  /// Records of kinds that this program does not know, passed over.
  std::uint64_t unknown_records() const { return unknown_; }
  /// Of the last segment that was begun; empty before.
  const std::string& run_id() const { return run_id_; }

 private:
  JournalReader(std::filesystem::path events, ReaderOptions options);
  bool advance();
  bool fill();
  bool has_later_segment() const;
  bool begin_segment();
  bool pass_damage(bool last);
  void skip(std::size_t bytes, std::string what);
  std::string_view unread() const { return std::string_view(buffer_).substr(used_); }
  std::filesystem::path path() const;

  std::filesystem::path events_;
  ReaderOptions options_;
  std::optional<std::uint32_t> segment_;  ///< being read
  std::string buffer_;                    ///< of it, from buffer_offset_ on
  std::uint64_t buffer_offset_ = 0;
  std::size_t used_ = 0;  ///< of the buffer
  bool in_header_ = true;
  bool at_end_ = false;  ///< next() returned nothing last time
  WallTime segment_created_ = 0;
  std::string run_id_;
  std::optional<std::chrono::steady_clock::time_point> damaged_since_;
  std::vector<LogProblem> problems_;
  std::uint64_t unknown_ = 0;
};

}  // namespace trireme
