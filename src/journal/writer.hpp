// Writes the event log: the one writer of a run directory's events.
//
// record() encodes an event into a queue in memory; a thread of its own takes all that is queued, writes it with one write()
// and, by default, one fdatasync() (group commit), and begins a new segment when one is full. While a slow disk syncs, the
// next batch collects, so the rate adapts by itself.
//
// Invariants: records are written whole and in order; a segment is created with O_EXCL and only ever appended to; after the
// first failure nothing more is written, what a failed write left behind is cut back to the last whole record, and the error
// is told once through `on_failure` and from then on by every call. What flush() has acknowledged is on disk.
//
// Threads: record(), flush() and close() may be called from any thread; the pilot thread is the expected producer. It may
// have to wait in record() when the queue is full (the disk is slower than the run): up to `queue_wait`, after which the log
// has failed. `on_failure` is called from the journal's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/defaults.hpp"
#include "core/events.hpp"
#include "core/result.hpp"
#include "core/worker_thread.hpp"

namespace trireme {

/// When the kernel is asked to put the log on disk.
enum class JournalSync {
  each_commit,  ///< after each write: events survive the loss of the host
  at_flush,     ///< at flush, close and the end of a segment: events survive the loss of the process
};

struct JournalOptions {
  std::size_t segment_bytes = defaults::segment_bytes;  ///< a segment beyond this is the last of its size
  std::chrono::nanoseconds commit_every = defaults::commit_every;
  std::size_t queue_bytes = defaults::journal_queue_bytes;
  std::chrono::nanoseconds queue_wait = defaults::journal_wait;
  JournalSync sync = JournalSync::each_commit;
  std::function<void(const Error&)> on_failure;
};

class JournalWriter {
 public:
  /// Begins the log of a new run in `events` (made if missing); an error if a log is there.
  static Result<std::unique_ptr<JournalWriter>> create(const std::filesystem::path& events, const std::string& run_id,
                                                       JournalOptions options = {});
  /// Goes on with the log of a run: cuts the torn tail, if there is one, and begins a new segment. Of two that try this at
  /// the same time one gets an error.
  static Result<std::unique_ptr<JournalWriter>> resume(const std::filesystem::path& events, const std::string& run_id,
                                                       JournalOptions options = {});
  /// Closes, waiting as close() does with its default.
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  /// Queues an event. It is on its way to disk within commit_every, and on disk once a later flush() is ok.
  Status record(const EventBody& event, WallTime time = wall_now());

  /// Waits until all that was recorded before is on disk.
  Status flush(std::chrono::nanoseconds timeout);

  /// Flushes and ends the thread. Later calls of record() are errors. Takes `timeout` twice at most: a thread that hangs in the
  /// file system is left behind (core/worker_thread.hpp), and that is an error.
  Status close(std::chrono::nanoseconds timeout = defaults::journal_wait);

  /// The failure, if there was one.
  Status status() const;

  struct Counters {
    std::uint64_t events = 0;   ///< recorded
    std::uint64_t bytes = 0;    ///< written
    std::uint64_t commits = 0;  ///< writes that it took
  };
  Counters counters() const;

 private:
  class Log;
  explicit JournalWriter(std::shared_ptr<Log> log);
  static Result<std::unique_ptr<JournalWriter>> start(const std::filesystem::path& events, const std::string& run_id,
                                                      JournalOptions options, std::uint32_t number);

  std::shared_ptr<Log> log_;
  WorkerThread thread_;
};

}  // namespace trireme
