#include "journal/writer.hpp"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "support.hpp"

namespace trireme {
namespace {

using namespace test;
using namespace std::chrono_literals;

constexpr auto long_enough = 60s;

std::unique_ptr<JournalWriter> begin_log(const std::filesystem::path& events, JournalOptions options = {}) {
  auto writer = JournalWriter::create(events, "run-1", std::move(options));
  REQUIRE(writer.ok());
  return std::move(*writer);
}

EventBody numbered(std::size_t i) {
  return events::TaskChanged{TaskIndex{static_cast<std::uint32_t>(i)}, TaskState::done, std::string(100, 'x')};
}

/// The numbers of such events, in order.
std::vector<std::size_t> read_numbers(JournalReader& reader) {
  std::vector<std::size_t> out;
  while (const auto event = reader.next()) {
    out.push_back(std::get<events::TaskChanged>(event->body).task.value);
  }
  return out;
}

/// Whether `numbers` are 0, 1, 2, … without a gap.
bool is_gapless(const std::vector<std::size_t>& numbers) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != i) return false;
  }
  return true;
}

TEST_CASE("what is recorded is read back in order, with its times") {
  const TemporaryFolder folder;
  auto writer = begin_log(folder.path() / "events");
  const std::vector<EventBody> events = sample_events();
  for (std::size_t i = 0; i < events.size(); ++i) {
    REQUIRE(writer->record(events[i], static_cast<WallTime>(i + 1)).ok());
  }
  REQUIRE(writer->close().ok());
  CHECK(writer->counters().events == events.size());

  JournalReader reader = open_reader(folder.path() / "events");
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto event = reader.next();
    REQUIRE(event);
    CHECK(event->time == static_cast<WallTime>(i + 1));
    CHECK(wire(event->body) == wire(events[i]));
  }
  CHECK_FALSE(reader.next());
  CHECK_FALSE(reader.torn_tail());
  CHECK(reader.run_id() == "run-1");
}

TEST_CASE("a flushed event is in the file while the writer lives on") {
  for (const JournalSync sync : {JournalSync::each_commit, JournalSync::at_flush}) {
    const TemporaryFolder folder;
    auto writer = begin_log(folder.path(), {.sync = sync});
    REQUIRE(writer->record(numbered(0)).ok());
    REQUIRE(writer->flush(long_enough).ok());
    JournalReader reader = open_reader(folder.path());
    CHECK(read_numbers(reader).size() == 1);
    CHECK(writer->flush(long_enough).ok());
  }
}

TEST_CASE("many events share a write") {
  const TemporaryFolder folder;
  auto writer = begin_log(folder.path(), {.commit_every = 50ms});
  for (std::size_t i = 0; i < 2000; ++i) REQUIRE(writer->record(numbered(i)).ok());
  REQUIRE(writer->close().ok());
  CHECK(writer->counters().commits < 1000);
  JournalReader reader = open_reader(folder.path());
  CHECK(read_numbers(reader).size() == 2000);
}

TEST_CASE("a full segment is followed by the next, and the log reads as one") {
  const TemporaryFolder folder;
  auto writer = begin_log(folder.path(), {.segment_bytes = 4096, .commit_every = 1us});
  for (std::size_t i = 0; i < 500; ++i) {
    REQUIRE(writer->record(numbered(i)).ok());
    if (i % 10 == 0) REQUIRE(writer->flush(long_enough).ok());
  }
  REQUIRE(writer->close().ok());
  CHECK(list_segments(folder.path()).size() > 5);
  JournalReader reader = open_reader(folder.path());
  const auto numbers = read_numbers(reader);
  CHECK(numbers.size() == 500);
  CHECK(is_gapless(numbers));
  CHECK(reader.problems().empty());
}

TEST_CASE("a log is begun once") {
  const TemporaryFolder folder;
  auto first = begin_log(folder.path());
  const auto second = JournalWriter::create(folder.path(), "run-2");
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == ExitCode::usage);
}

TEST_CASE("a closed log takes no more") {
  const TemporaryFolder folder;
  auto writer = begin_log(folder.path());
  REQUIRE(writer->close().ok());
  CHECK_FALSE(writer->record(numbered(0)).ok());
  CHECK(writer->close().ok());
}

TEST_CASE("resuming cuts the torn tail and goes on in a new segment") {
  const TemporaryFolder folder;
  begin_log(folder.path())->record(numbered(0)).ok();
  const auto path = folder.path() / segment_name(0);
  const std::string whole = read_file(path);
  std::uint32_t expected_segments = 2;

  SUBCASE("nothing is torn") {}
  SUBCASE("half a record is cut") {
    write_file(path, whole + whole.substr(whole.size() - 60, 30));
  }
  SUBCASE("zeros are cut") {
    write_file(path, whole + std::string(5000, '\0'));
  }
  SUBCASE("a segment that was only just begun is removed") {
    write_file(folder.path() / segment_name(1), std::string("trir"));
  }
  SUBCASE("an empty segment is removed") {
    write_file(folder.path() / segment_name(1), "");
  }

  auto writer = JournalWriter::resume(folder.path(), "run-1");
  REQUIRE(writer.ok());
  CHECK(read_file(path) == whole);
  REQUIRE((*writer)->record(numbered(1)).ok());
  REQUIRE((*writer)->close().ok());
  JournalReader reader = open_reader(folder.path());
  const auto numbers = read_numbers(reader);
  CHECK(numbers.size() == 2);
  CHECK(is_gapless(numbers));
  CHECK(reader.problems().empty());
  CHECK(list_segments(folder.path()).size() == expected_segments);
}

TEST_CASE("there is nothing to resume in an empty folder") {
  const TemporaryFolder folder;
  CHECK_FALSE(JournalWriter::resume(folder.path(), "run-1").ok());
}

TEST_CASE("a writer that finds its next segment taken stops and says so") {
  const TemporaryFolder folder;
  auto first = begin_log(folder.path(), {.segment_bytes = 1});
  REQUIRE(first->record(numbered(0)).ok());
  REQUIRE(first->flush(long_enough).ok());
  auto second = JournalWriter::resume(folder.path(), "run-1");
  REQUIRE(second.ok());
  REQUIRE(first->record(numbered(1)).ok());
  const Status flushed = first->flush(long_enough);
  REQUIRE_FALSE(flushed.ok());
  CHECK(flushed.error().text().find("another run") != std::string::npos);
}

TEST_CASE("a log whose thread hangs does not hang the close, which tells of it") {
  const TemporaryFolder folder;
  std::promise<void> end_of_hang;
  // What hangs in a test is the callback, as a system call would on a file system that answers no more.
  auto hang = std::make_shared<std::shared_future<void>>(end_of_hang.get_future());
  JournalOptions options;
  options.segment_bytes = 1;  // each commit begins another segment, for which there is no folder soon
  auto begun = std::make_shared<std::promise<void>>();
  options.on_failure = [hang, begun](const Error&) {
    begun->set_value();
    hang->wait();
  };
  auto created = JournalWriter::create(folder.path() / "events", "run-1", options);
  REQUIRE(created.ok());
  REQUIRE((*created)->record(events::Warning{"one"}).ok());
  REQUIRE((*created)->flush(long_enough).ok());
  std::filesystem::remove_all(folder.path() / "events");
  REQUIRE((*created)->record(events::Warning{"two"}).ok());
  begun->get_future().wait();
  CHECK_FALSE((*created)->close(10ms).ok());
  options = {};
  created = Error{"gone", "", ""};
  CHECK(hang.use_count() > 1);
  end_of_hang.set_value();
  while (hang.use_count() > 1) std::this_thread::yield();
}

/// Checks what a writer owes when its disk is full: told once, nothing torn, nothing acknowledged is lost.
void expect_clean_failure(const std::filesystem::path& events, const std::string& words,
                          const std::function<void()>& relieve) {
  std::atomic<int> told{0};
  Error reported;
  JournalOptions options;
  options.commit_every = 1us;
  options.on_failure = [&](const Error& error) {
    reported = error;
    ++told;
  };
  auto created = JournalWriter::create(events, "run-1", options);
  REQUIRE(created.ok());
  JournalWriter& writer = **created;
  std::size_t acknowledged = 0;
  bool failed = false;
  for (std::size_t i = 0; i < 100'000 && !failed; ++i) {
    failed = !writer.record(numbered(i)).ok();
    if (!failed && i % 7 == 0) {
      failed = !writer.flush(long_enough).ok();
      if (!failed) acknowledged = i + 1;
    }
  }
  REQUIRE(failed);
  CHECK(acknowledged > 0);
  CHECK_FALSE(writer.record(numbered(0)).ok());
  CHECK_FALSE(writer.status().ok());
  CHECK_FALSE(writer.close().ok());
  CHECK(told == 1);
  CHECK(reported.text().find(words) != std::string::npos);
  CHECK(reported.text().find(events.string()) != std::string::npos);
  CHECK(reported.code == ExitCode::runtime_failed);

  JournalReader reader = open_reader(events);
  const auto numbers = read_numbers(reader);
  CHECK(is_gapless(numbers));
  CHECK(numbers.size() >= acknowledged);
  CHECK_FALSE(reader.torn_tail());
  CHECK(reader.problems().empty());

  relieve();
  auto resumed = JournalWriter::resume(events, "run-1");
  REQUIRE(resumed.ok());
  REQUIRE((*resumed)->record(numbered(numbers.size())).ok());
  REQUIRE((*resumed)->close().ok());
  JournalReader again = open_reader(events);
  const auto all = read_numbers(again);
  CHECK(is_gapless(all));
  CHECK(all.size() == numbers.size() + 1);
}

/// Files of this process may not grow beyond a size, as if the disk were full in the middle of a write.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() { lift(); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  void lift() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

TEST_CASE("a file that may not grow ends the log cleanly") {
  const TemporaryFolder folder;
  FileSizeLimit limit(50'001);
  expect_clean_failure(folder.path() / "events", "File too large", [&limit] { limit.lift(); });
}

TEST_CASE("a full disk ends the log cleanly") {
  const TemporaryFolder folder;
  const auto disk = folder.path() / "disk";
  std::filesystem::create_directory(disk);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    MESSAGE("mounting is not permitted here; the limit on file sizes stands in for a full disk");
    return;
  }
  struct Unmount {
    std::filesystem::path at;
    ~Unmount() { ::umount2(at.c_str(), MNT_DETACH); }
  } unmount{disk};
  write_file(disk / "ballast", std::string(8192, 'x'));
  expect_clean_failure(disk / "events", "No space left on device",
                       [&disk] { std::filesystem::remove(disk / "ballast"); });
}

TEST_CASE("a reader follows a writer across segments and sees every event once") {
  const TemporaryFolder folder;
  constexpr std::size_t count = 5000;
  auto writer = begin_log(folder.path(), {.segment_bytes = 20'000, .commit_every = 1ms});
  std::thread producer([&writer] {
    for (std::size_t i = 0; i < count; ++i) {
      if (!writer->record(numbered(i)).ok()) return;
      if (i % 97 == 0) std::this_thread::yield();
    }
    static_cast<void>(writer->close());
  });
  JournalReader reader = open_reader(folder.path(), {.follow = true});
  std::vector<std::size_t> numbers;
  const auto deadline = std::chrono::steady_clock::now() + long_enough;
  while (numbers.size() < count && std::chrono::steady_clock::now() < deadline) {
    const auto more = read_numbers(reader);
    numbers.insert(numbers.end(), more.begin(), more.end());
    if (more.empty()) reader.wait(100ms);
  }
  producer.join();
  CHECK(numbers.size() == count);
  CHECK(is_gapless(numbers));
  CHECK(reader.problems().empty());
}

TEST_CASE("what was flushed survives the death of the process, and the rest is whole or cut") {
  const TemporaryFolder folder;
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto writer = JournalWriter::create(folder.path() / "events", "run-1", {.commit_every = 100us});
    if (!writer.ok()) ::_exit(1);
    for (std::size_t i = 0;; ++i) {
      if (!(*writer)->record(numbered(i)).ok()) ::_exit(1);
      if (i == 1000) {
        if (!(*writer)->flush(long_enough).ok() || ::write(pipe_ends[1], "f", 1) != 1) ::_exit(1);
      }
    }
  }
  char flushed = 0;
  REQUIRE(::read(pipe_ends[0], &flushed, 1) == 1);
  ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  CHECK(WIFSIGNALED(status));

  JournalReader reader = open_reader(folder.path() / "events");
  const auto numbers = read_numbers(reader);
  CHECK(numbers.size() >= 1001);
  CHECK(is_gapless(numbers));
  CHECK(reader.problems().empty());
  auto writer = JournalWriter::resume(folder.path() / "events", "run-1");
  REQUIRE(writer.ok());
  REQUIRE((*writer)->record(numbered(numbers.size())).ok());
  REQUIRE((*writer)->close().ok());
  JournalReader again = open_reader(folder.path() / "events");
  const auto all = read_numbers(again);
  CHECK(all.size() == numbers.size() + 1);
  CHECK(is_gapless(all));
}

TEST_CASE("an event that is too large is refused, and the log goes on") {
  const TemporaryFolder folder;
  auto writer = begin_log(folder.path());
  CHECK_FALSE(writer->record(events::Warning{std::string(defaults::record_bytes + 1, 'x')}).ok());
  REQUIRE(writer->record(events::Warning{"small"}).ok());
  REQUIRE(writer->close().ok());
  JournalReader reader = open_reader(folder.path());
  CHECK(read_all(reader) == wires({events::Warning{"small"}}));
}

TEST_CASE("a producer that is faster than the disk waits and loses nothing") {
  const TemporaryFolder folder;
  auto writer = begin_log(folder.path(), {.queue_bytes = 1000, .queue_wait = long_enough});
  for (std::size_t i = 0; i < 300; ++i) REQUIRE(writer->record(numbered(i)).ok());
  REQUIRE(writer->close().ok());
  JournalReader reader = open_reader(folder.path());
  const auto numbers = read_numbers(reader);
  CHECK(numbers.size() == 300);
  CHECK(is_gapless(numbers));
}

}  // namespace
}  // namespace trireme
