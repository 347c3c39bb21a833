#include "journal/writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

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
  std::unique_ptr<JournalWriter> writer(new JournalWriter(events, run_id, std::move(options)));
  writer->segment_ = number;
  if (Status opened = writer->open_segment(); !opened.ok()) return opened.error();
  writer->thread_ = std::thread([raw = writer.get()] { raw->run(); });
  return writer;
}

JournalWriter::JournalWriter(std::filesystem::path events, std::string run_id, JournalOptions options)
    : events_(std::move(events)), run_id_(std::move(run_id)), options_(std::move(options)) {}

JournalWriter::~JournalWriter() {
  if (thread_.joinable()) static_cast<void>(close());
  if (fd_ >= 0) ::close(fd_);
}

Status JournalWriter::record(const EventBody& event, WallTime time) {
  std::unique_lock lock(mutex_);
  const auto may_go_on = [this] { return queue_.size() < options_.queue_bytes || failure_; };
  if (!done_.wait_for(lock, options_.queue_wait, may_go_on)) {
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

Status JournalWriter::flush(std::chrono::nanoseconds timeout) {
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

Status JournalWriter::close(std::chrono::nanoseconds timeout) {
  Status flushed = flush(timeout);
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  return flushed;
}

Status JournalWriter::status() const {
  const std::lock_guard lock(mutex_);
  if (failure_) return *failure_;
  return {};
}

JournalWriter::Counters JournalWriter::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void JournalWriter::run() {
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
  if (const Status end = status(); !end.ok() && options_.on_failure) {
    options_.on_failure(end.error());
  }
}

Status JournalWriter::commit(std::string_view records, bool sync) {
  if (segment_end_ >= options_.segment_bytes && !records.empty()) {
    if (Status closed = close_segment(); !closed.ok()) return closed;
    ++segment_;
    if (Status opened = open_segment(); !opened.ok()) return opened;
  }
  if (Status written = write_out(records); !written.ok()) return written;
  if (sync && ::fdatasync(fd_) != 0) return io_error("put the event log on disk", errno);
  return {};
}

Status JournalWriter::open_segment() {
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

Status JournalWriter::close_segment() {
  const int fd = std::exchange(fd_, -1);
  if (::fdatasync(fd) != 0) {
    const int code = errno;
    ::close(fd);
    return io_error("put the event log on disk", code);
  }
  if (::close(fd) != 0 && errno != EINTR) return io_error("close the event log", errno);
  return {};
}

Status JournalWriter::write_out(std::string_view records) {
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

Error JournalWriter::io_error(const std::string& what, int code) const {
  return file_error(what, events_ / segment_name(segment_), code);
}

}  // namespace trireme
