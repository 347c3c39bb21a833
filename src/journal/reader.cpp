#include "journal/reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

#include "core/defaults.hpp"
#include "journal/codec.hpp"
#include "journal/files.hpp"
#include "journal/segment.hpp"

namespace trireme {
namespace {

constexpr std::size_t read_bytes = 1u << 20;
// Damage beyond this many places in one log is a broken disk; the rest would only repeat it.
constexpr std::size_t max_problems = 1000;

}  // namespace

std::vector<std::uint32_t> list_segments(const std::filesystem::path& events) {
  std::vector<std::uint32_t> numbers;
  std::error_code error;
  std::filesystem::directory_iterator files(events, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    if (const auto number = segment_number(files->path().filename().native())) {
      numbers.push_back(*number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string LogProblem::text() const {
  return segment_name(at.segment) + ", offset " + std::to_string(at.offset) + ": " + what;
}

Result<JournalReader> JournalReader::open(const std::filesystem::path& events, ReaderOptions options) {
  std::error_code error;
  if (!std::filesystem::is_directory(events, error)) {
    return Error{"there is no event log", events.string(), "is this the directory of a run?", ExitCode::usage};
  }
  return JournalReader(events, options);
}

JournalReader::JournalReader(std::filesystem::path events, ReaderOptions options)
    : events_(std::move(events)), options_(options) {}

std::optional<Event> JournalReader::next() {
  if (std::exchange(at_end_, false)) {
    // What was incomplete may by now have been read before its bytes arrived: read it again.
    buffer_offset_ += used_;
    buffer_.clear();
    used_ = 0;
  }
  while (true) {
    if (!segment_ && !advance()) break;
    if (in_header_ && begin_segment()) continue;
    if (const auto record = in_header_ ? std::nullopt : parse_record(unread())) {
      damaged_since_.reset();
      const std::size_t begin = used_;
      used_ += record->bytes();
      if (record->kind > last_kind) {
        ++unknown_;
        continue;
      }
      auto body = decode_event({record->kind, record->version}, record->payload);
      if (body.ok()) return Event{record->time, std::move(*body)};
      used_ = begin;
      skip(record->bytes(), body.error().what);
      continue;
    }
    if (fill()) continue;
    const bool last = !has_later_segment();
    if (!last && fill()) continue;  // the writer appended, and only then began the next segment
    if (unread().empty()) {
      if (last || !advance()) break;
    } else if (!pass_damage(last)) {
      break;
    }
  }
  at_end_ = true;
  return std::nullopt;
}

bool JournalReader::wait(std::chrono::nanoseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    if (!segment_ || has_later_segment()) {
      if (!list_segments(events_).empty()) return true;
    } else {
      const Fd fd(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
      struct stat info {};
      if (fd && ::fstat(fd.get(), &info) == 0 &&
          static_cast<std::uint64_t>(info.st_size) > buffer_offset_ + buffer_.size()) {
        return true;
      }
    }
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds::zero()) return !unread().empty();
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(left, std::chrono::nanoseconds(defaults::journal_poll)));
  }
}

std::optional<LogPosition> JournalReader::torn_tail() const {
  if (!at_end_ || !segment_ || (unread().empty() && !in_header_)) return std::nullopt;
  return LogPosition{*segment_, buffer_offset_ + used_};
}

/// Goes to the next segment there is; false where there is none.
bool JournalReader::advance() {
  for (const std::uint32_t number : list_segments(events_)) {
    if (segment_ ? number <= *segment_ : number < options_.first_segment) continue;
    if (segment_ && number != *segment_ + 1 && problems_.size() < max_problems) {
      problems_.push_back({{*segment_ + 1, 0}, 0, "this segment is missing"});
    }
    segment_ = number;
    buffer_.clear();
    buffer_offset_ = 0;
    used_ = 0;
    in_header_ = true;
    segment_created_ = 0;
    damaged_since_.reset();
    return true;
  }
  return false;
}

/// Reads on; false where the file has no more at present.
bool JournalReader::fill() {
  const Fd fd(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  if (used_ > read_bytes) {
    buffer_.erase(0, used_);
    buffer_offset_ += used_;
    used_ = 0;
  }
  struct stat info {};
  const std::uint64_t at = buffer_offset_ + buffer_.size();
  if (::fstat(fd.get(), &info) != 0 || static_cast<std::uint64_t>(info.st_size) <= at) return false;
  const std::size_t before = buffer_.size();
  const std::size_t wanted = std::min<std::uint64_t>(read_bytes, info.st_size - at);
  buffer_.resize(before + wanted);
  ssize_t n = -1;
  do {
    n = ::pread(fd.get(), buffer_.data() + before, wanted, static_cast<off_t>(at));
  } while (n < 0 && errno == EINTR);
  buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return n > 0;
}

bool JournalReader::has_later_segment() const {
  const std::vector<std::uint32_t> numbers = list_segments(events_);
  return !numbers.empty() && segment_ && numbers.back() > *segment_;
}

/// Takes the segment's header, once it is whole.
bool JournalReader::begin_segment() {
  auto parsed = parse_segment_header(unread());
  if (!parsed) return false;
  used_ += parsed->bytes;
  in_header_ = false;
  segment_created_ = parsed->header.created;
  run_id_ = std::move(parsed->header.run_id);
  if (parsed->header.format != segment_format) {
    while (fill()) {
    }
    skip(unread().size(),
         "it has format " + std::to_string(parsed->header.format) + " and was written by another version of trireme");
  }
  return true;
}

/// Deals with bytes at the end of what is there that are no record: passes over them, or returns false where they are the
/// torn tail of the log and may yet become one.
bool JournalReader::pass_damage(bool last) {
  const std::string_view rest = unread();
  const WallTime near = in_header_ ? wall_now() : segment_created_;
  const std::optional<std::size_t> record = find_record(rest, near);
  if (!record && last) return false;
  if (record && last && options_.follow) {
    const auto now = std::chrono::steady_clock::now();
    if (!damaged_since_) damaged_since_ = now;
    if (now - *damaged_since_ < defaults::journal_settle) return false;
  }
  const std::size_t bytes = record.value_or(rest.size());
  skip(bytes, std::to_string(bytes) + " bytes are damaged and were passed over");
  in_header_ = false;
  damaged_since_.reset();
  return true;
}

void JournalReader::skip(std::size_t bytes, std::string what) {
  if (problems_.size() < max_problems) {
    problems_.push_back({{*segment_, buffer_offset_ + used_}, bytes, std::move(what)});
  }
  used_ += bytes;
}

std::filesystem::path JournalReader::path() const {
  return events_ / segment_name(*segment_);
}

}  // namespace trireme
