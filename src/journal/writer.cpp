#include "journal/writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "journal/codec.hpp"
#include "journal/files.hpp"
#include "journal/reader.hpp"
#include "journal/segment.hpp"

namespace trireme {
namespace {

// A batch that has grown to this is written without waiting for more.
constexpr std::size_t full_batch = 1u << 20;

/// How many bytes of `records` the whole records among its first `written` bytes take.
std::size_t whole_records(std::string_view records, std::size_t written) {
  std::size_t end = 0;
  while (const auto record = parse_record(records.substr(end))) {
    if (end + record->bytes() > written) break;
    end += record->bytes();
  }
  return end;
}

Status make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return file_error("make the folder of the event log", folder, error.value());
  return {};
}

}  // namespace

/// What the thread and the callers share. The thread's too: one that was given up still has it.
class JournalWriter::Log {
 public:
  Log(std::filesystem::path events, std::string run_id, JournalOptions options, std::uint32_t segment)
      : events_(std::move(events)), run_id_(std::move(run_id)), options_(std::move(options)), segment_(segment) {}
  ~Log() {
    if (fd_ >= 0) ::close(fd_);
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // For callers:
  Status record(const EventBody& event, WallTime time);
  Status flush(std::chrono::nanoseconds timeout);
  void begin_end();
  /// The thread has been left behind: the failure that is.
  Error give_up();
  Status status() const;
  Counters counters() const;

  // Of the journal's thread (and before there is one):
  void run();
  Status open_segment();

 private:
  Status commit(std::string_view records, bool sync);
  Status close_segment();
  Status write_out(std::string_view records);
  Error io_error(const std::string& what, int code) const;

  const std::filesystem::path events_;
  const std::string run_id_;
  const JournalOptions options_;

  std::uint32_t segment_ = 0;
  int fd_ = -1;
  std::uint64_t segment_end_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;  ///< for the thread: something was recorded, a flush is wanted, or the end
  std::condition_variable done_;  ///< for callers: room, committed, or failed
  std::string queue_;
  std::uint64_t recorded_ = 0;  ///< bytes of records, counted from the start; so are the next two
  std::uint64_t synced_ = 0;
  std::uint64_t wanted_ = 0;  ///< a flush waits until synced_ is here
  bool closing_ = false;
  bool given_up_ = false;  ///< nobody is to be told anything any more
  std::optional<Error> failure_;
  Counters counters_;
};

Result<std::unique_ptr<JournalWriter>> JournalWriter::create(const std::filesystem::path& events,
                                                             const std::string& run_id, JournalOptions options) {
  if (Status made = make_folder(events); !made.ok()) return made.error();
  if (!list_segments(events).empty()) {
    return Error{"there is an event log already", events.string(),
                 "choose another --run-dir, or continue that run with --resume", ExitCode::usage};
  }
  return start(events, run_id, std::move(options), 0);
}

Result<std::unique_ptr<JournalWriter>> JournalWriter::resume(const std::filesystem::path& events,
                                                             const std::string& run_id, JournalOptions options) {
  const std::vector<std::uint32_t> segments = list_segments(events);
  if (segments.empty()) {
    return Error{"there is no event log to go on with", events.string(), "", ExitCode::usage};
  }
  std::uint32_t next = segments.back() + 1;
  auto reader = JournalReader::open(events, {.first_segment = segments.back()});
  if (!reader.ok()) return reader.error();
  while (reader->next()) {
  }
  if (const auto tail = reader->torn_tail()) {
    const std::filesystem::path path = events / segment_name(tail->segment);
    if (tail->offset == 0) {  // not even its header is whole: it holds nothing
      if (::unlink(path.c_str()) != 0) return file_error("remove the torn segment", path, errno);
      next = tail->segment;
    } else if (::truncate(path.c_str(), static_cast<off_t>(tail->offset)) != 0) {
      return file_error("cut the torn tail", path, errno);
    }
  }
  return start(events, run_id, std::move(options), next);
}

Result<std::unique_ptr<JournalWriter>> JournalWriter::start(const std::filesystem::path& events,
                                                            const std::string& run_id, JournalOptions options,
                                                            std::uint32_t number) {
  auto log = std::make_shared<Log>(events, run_id, std::move(options), number);
  if (Status opened = log->open_segment(); !opened.ok()) return opened.error();
  return std::unique_ptr<JournalWriter>(new JournalWriter(std::move(log)));
}

JournalWriter::JournalWriter(std::shared_ptr<Log> log) : log_(std::move(log)), thread_([log = log_] { log->run(); }) {}

JournalWriter::~JournalWriter() {
  if (thread_.joinable()) static_cast<void>(close());
}

Status JournalWriter::record(const EventBody& event, WallTime time) {
  return log_->record(event, time);
}

Status JournalWriter::flush(std::chrono::nanoseconds timeout) {
  return log_->flush(timeout);
}

Status JournalWriter::close(std::chrono::nanoseconds timeout) {
  Status flushed = log_->flush(timeout);
  log_->begin_end();
  if (thread_.joinable() && !thread_.join(timeout)) {
    const Error hung = log_->give_up();
    if (flushed.ok()) return hung;
  }
  return flushed;
}

Status JournalWriter::status() const {
  return log_->status();
}

JournalWriter::Counters JournalWriter::counters() const {
  return log_->counters();
}

Status JournalWriter::Log::record(const EventBody& event, WallTime time) {
  std::unique_lock lock(mutex_);
  const auto may_go_on = [this] { return queue_.size() < options_.queue_bytes || failure_; };
  // Asked first: waiting looks at the clock, even for nothing.
  if (!may_go_on() && !done_.wait_for(lock, options_.queue_wait, may_go_on)) {
    Error slow{"the event log cannot be written as fast as the run goes on", events_.string(),
               "put the run directory on a faster file system with --run-dir"};
    failure_ = slow;
    return slow;
  }
  if (failure_) return *failure_;
  if (closing_) return Error{"the event log is closed", events_.string(), ""};

  const EventKind kind = kind_of(event);
  const std::size_t begin = begin_record(queue_);
  encode_event(event, queue_);
  if (queue_.size() - begin - record_header_bytes > defaults::record_bytes) {
    queue_.resize(begin);
    return Error{"an event of " + std::string(kind_name(event)) + " is too large for the event log", events_.string(),
                 ""};
  }
  end_record(queue_, begin, kind.kind, kind.version, time);
  recorded_ += queue_.size() - begin;
  ++counters_.events;
  if (begin == 0 || queue_.size() >= full_batch) work_.notify_one();
  return {};
}

Status JournalWriter::Log::flush(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  const std::uint64_t goal = recorded_;
  wanted_ = std::max(wanted_, goal);
  work_.notify_one();
  const auto reached = [this, goal] { return synced_ >= goal || failure_; };
  if (!done_.wait_for(lock, timeout, reached)) {
    return Error{"the event log did not reach the disk in time", events_.string(),
                 "the file system hangs or is overloaded"};
  }
  if (synced_ < goal) return *failure_;
  return {};
}

void JournalWriter::Log::begin_end() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  work_.notify_one();
}

Error JournalWriter::Log::give_up() {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  if (!failure_) {
    failure_ =
        Error{"the event log could not be closed", events_.string(),
              "the file system hangs; what was logged can be read, and the run resumed", ExitCode::runtime_failed};
  }
  return *failure_;
}

Status JournalWriter::Log::status() const {
  const std::lock_guard lock(mutex_);
  if (failure_) return *failure_;
  return {};
}

JournalWriter::Counters JournalWriter::Log::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void JournalWriter::Log::run() {
  std::string batch;
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return !queue_.empty() || wanted_ > synced_ || closing_ || failure_; });
    if (queue_.empty() && wanted_ <= synced_) break;
    // Collect: what is recorded meanwhile shares the write.
    work_.wait_for(lock, options_.commit_every,
                   [this] { return queue_.size() >= full_batch || wanted_ > synced_ || closing_; });
    batch.clear();
    batch.swap(queue_);
    const std::uint64_t end = recorded_;
    const bool sync = options_.sync == JournalSync::each_commit || wanted_ > synced_;
    lock.unlock();
    done_.notify_all();
    const Status committed = commit(batch, sync);
    lock.lock();
    if (!committed.ok()) {
      failure_ = committed.error();
      queue_.clear();
      break;
    }
    if (sync) synced_ = end;
    ++counters_.commits;
    counters_.bytes += batch.size();
    done_.notify_all();
  }
  const std::optional<Error> failure = failure_;
  lock.unlock();
  if (!failure) {
    const Status closed = close_segment();
    if (!closed.ok()) {
      lock.lock();
      failure_ = closed.error();
      lock.unlock();
    }
  }
  done_.notify_all();
  lock.lock();
  if (failure_ && !given_up_ && options_.on_failure) {
    const Error told = *failure_;
    lock.unlock();
    options_.on_failure(told);
  }
}

Status JournalWriter::Log::commit(std::string_view records, bool sync) {
  if (segment_end_ >= options_.segment_bytes && !records.empty()) {
    if (Status closed = close_segment(); !closed.ok()) return closed;
    ++segment_;
    if (Status opened = open_segment(); !opened.ok()) return opened;
  }
  if (Status written = write_out(records); !written.ok()) return written;
  if (sync && ::fdatasync(fd_) != 0) return io_error("put the event log on disk", errno);
  return {};
}

Status JournalWriter::Log::open_segment() {
  const std::filesystem::path path = events_ / segment_name(segment_);
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0 && errno == EEXIST) {
    return Error{"another run writes to this event log", path.string(),
                 "end the other one; only one may continue a run", ExitCode::usage};
  }
  if (fd_ < 0) return io_error("begin a segment of the event log", errno);
  segment_end_ = 0;
  const std::string header = encode_segment_header({.number = segment_, .created = wall_now(), .run_id = run_id_});
  if (Status written = write_out(header); !written.ok()) {
    ::unlink(path.c_str());
    return written;
  }
  if (::fdatasync(fd_) != 0) return io_error("put the event log on disk", errno);
  return sync_folder(events_);
}

Status JournalWriter::Log::close_segment() {
  const int fd = std::exchange(fd_, -1);
  if (::fdatasync(fd) != 0) {
    const int code = errno;
    ::close(fd);
    return io_error("put the event log on disk", code);
  }
  if (::close(fd) != 0 && errno != EINTR) return io_error("close the event log", errno);
  return {};
}

Status JournalWriter::Log::write_out(std::string_view records) {
  std::size_t written = 0;
  while (written < records.size()) {
    const ssize_t n = ::write(fd_, records.data() + written, records.size() - written);
    if (n > 0) {
      written += static_cast<std::size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    const int code = n < 0 ? errno : EIO;
    const std::uint64_t end = segment_end_ + whole_records(records, written);
    // Best effort: readers recognise what is left where this fails too.
    if (::ftruncate(fd_, static_cast<off_t>(end)) == 0) static_cast<void>(::fdatasync(fd_));
    return io_error("write the event log", code);
  }
  segment_end_ += written;
  return {};
}

Error JournalWriter::Log::io_error(const std::string& what, int code) const {
  return file_error(what, events_ / segment_name(segment_), code);
}

}  // namespace trireme
