#include "node/output_collector.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "core/defaults.hpp"
#include "core/units.hpp"
#include "journal/output_writer.hpp"

namespace trireme {
namespace {

constexpr std::uint64_t wake_id = 0;
constexpr int events_at_once = 64;
constexpr std::size_t much = defaults::output_chunk / 2;  ///< in one turn: then there is more to come at once

Error no_pipe(int code) {
  return {"cannot make a pipe for its output: " + std::generic_category().message(code), "",
          code == EMFILE || code == ENFILE ? "allow more open files (ulimit -n), or give it `output: files`" : "",
          ExitCode::runtime_failed};
}

std::size_t bytes_in(int pipe) {
  int count = 0;
  return ::ioctl(pipe, FIONREAD, &count) == 0 && count > 0 ? static_cast<std::size_t>(count) : 0;
}

}  // namespace

class OutputCollector::Stream {
 public:
  OutputSource source;
  std::uint64_t id = 0;
  Fd reading;
  Fd writing;
  std::string path;
  std::atomic<bool> touched = false;  ///< set before anything is taken from the pipe

  // The thread's, and the loop's once the stream is finished.
  std::string tail;
  Status status;
};

struct OutputCollector::Shared {
  struct Closing {
    Streams streams;
    std::function<void(Status)> done;
  };

  Shared(boost::asio::io_context& of, std::filesystem::path data, std::filesystem::path index)
      : loop(of), data_path(std::move(data)), index_path(std::move(index)) {}

  void work() {
    // That there is a stream shows in the files being there; where it fails it is tried again, and told, with the first bytes.
    static_cast<void>(open_writer());
    while (!over()) {
      const std::vector<std::shared_ptr<Stream>> ready = wait();
      std::vector<Closing> closing = take_closing();
      bool more = false;
      for (const auto& stream : ready) more = take(*stream, defaults::output_chunk) >= much || more;
      for (const Closing& one : closing) {
        for (const auto& stream : one.streams) take_rest(*stream);
      }
      flush();
      for (Closing& one : closing) complete(std::move(one));
      if (!more && !ready.empty()) gather();
    }
  }

  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd.get(), &one, sizeof one);
  }

  void forget(const Stream& stream) {
    ::epoll_ctl(poll_fd.get(), EPOLL_CTL_DEL, stream.reading.get(), nullptr);
    const std::lock_guard lock(mutex);
    streams.erase(stream.id);
  }

  bool over() {
    const std::lock_guard lock(mutex);
    return ending;
  }

  std::vector<std::shared_ptr<Stream>> wait() {
    std::array<epoll_event, events_at_once> events{};
    const int count = ::epoll_wait(poll_fd.get(), events.data(), events_at_once, -1);
    std::vector<std::shared_ptr<Stream>> out;
    const std::lock_guard lock(mutex);
    for (int i = 0; i < count; ++i) {
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      // One that is gone was finished since.
      if (const auto found = streams.find(id); found != streams.end()) out.push_back(found->second);
    }
    return out;
  }

  std::vector<Closing> take_closing() {
    const std::lock_guard lock(mutex);
    std::uint64_t count = 0;
    [[maybe_unused]] const auto read = ::read(wake_fd.get(), &count, sizeof count);
    return std::exchange(to_close, {});
  }

  /// At most so many bytes into the batch; returns how many.
  std::size_t take(Stream& stream, std::size_t most) {
    if (batch.size() + most > defaults::output_batch) flush();
    stream.touched = true;
    const std::size_t before = batch.size();
    batch.resize(before + most);
    const ssize_t got = ::read(stream.reading.get(), batch.data() + before, most);
    const std::size_t taken = got > 0 ? static_cast<std::size_t>(got) : 0;
    batch.resize(before + taken);
    if (taken > 0) pieces.push_back({&stream, before, taken});
    return taken;
  }

  /// What is in the pipe now: a process that could not be ended may go on writing.
  void take_rest(Stream& stream) {
    std::size_t left = bytes_in(stream.reading.get());
    while (left > 0) {
      const std::size_t taken = take(stream, std::min(left, defaults::output_chunk));
      if (taken == 0) return;
      left -= taken;
    }
  }

  void flush() {
    if (pieces.empty()) return;
    std::vector<OutputPiece> out;
    out.reserve(pieces.size());
    for (const Piece& piece : pieces) {
      const std::string_view bytes = std::string_view(batch).substr(piece.begin, piece.size);
      out.push_back({&piece.stream->source, bytes});
      keep_tail(piece.stream->tail, bytes);
    }
    const Status written = write(out);
    for (const Piece& piece : pieces) {
      if (!written.ok() && piece.stream->status.ok()) piece.stream->status = written;
    }
    pieces.clear();
    batch.clear();
  }

  Status write(const std::vector<OutputPiece>& out) {
    const Status opened = open_writer();
    return opened.ok() ? writer->append(out) : opened;
  }

  Status open_writer() {
    if (writer) return {};
    std::error_code error;
    std::filesystem::create_directories(data_path.parent_path(), error);
    auto opened = OutputWriter::open(data_path, index_path);
    if (!opened) return opened.error();
    writer.emplace(std::move(*opened));
    return {};
  }

  static void keep_tail(std::string& tail, std::string_view bytes) {
    constexpr std::size_t most = defaults::log_tail_bytes;
    if (bytes.size() > most) bytes.remove_prefix(bytes.size() - most);
    if (tail.size() + bytes.size() > most) tail.erase(0, tail.size() + bytes.size() - most);
    tail += bytes;
  }

  void complete(Closing closing) {
    Status status;
    for (const auto& stream : closing.streams) {
      forget(*stream);
      if (status.ok()) status = stream->status;
    }
    const std::lock_guard lock(mutex);
    // Once the end has begun, nobody waits for it, and the loop may be gone.
    if (ending) return;
    boost::asio::post(loop, [closing = std::move(closing), status = std::move(status)]() mutable {
      closing.done(std::move(status));
    });
  }

  /// Until somebody waits for the thread, or a moment has passed.
  void gather() const {
    pollfd one{wake_fd.get(), POLLIN, 0};
    ::poll(&one, 1, static_cast<int>(std::chrono::milliseconds(defaults::output_gather).count()));
  }

  struct Piece {
    Stream* stream;  ///< held by `streams` or by who closes it, until after the flush
    std::size_t begin;
    std::size_t size;
  };

  boost::asio::io_context& loop;
  const std::filesystem::path data_path;
  const std::filesystem::path index_path;
  Fd poll_fd;
  Fd wake_fd;

  std::mutex mutex;
  std::unordered_map<std::uint64_t, std::shared_ptr<Stream>> streams;
  std::vector<Closing> to_close;
  bool ending = false;

  // The thread's alone.
  std::optional<OutputWriter> writer;
  std::string batch;
  std::vector<Piece> pieces;

  // The loop's alone.
  std::uint64_t last_id = wake_id;
};

OutputCollector::OutputCollector(boost::asio::io_context& loop, std::filesystem::path data, std::filesystem::path index)
    : shared_(std::make_shared<Shared>(loop, std::move(data), std::move(index))) {}

OutputCollector::~OutputCollector() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->ending = true;
  }
  shared_->wake();
  static_cast<void>(thread_.join(defaults::file_end));
}

Result<std::shared_ptr<OutputCollector::Stream>> OutputCollector::open(OutputSource source) {
  Shared& shared = *shared_;
  if (!thread_.joinable()) {
    shared.poll_fd = Fd(::epoll_create1(EPOLL_CLOEXEC));
    shared.wake_fd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event wake{};
    wake.events = EPOLLIN;
    wake.data.u64 = wake_id;
    if (!shared.poll_fd || !shared.wake_fd ||
        ::epoll_ctl(shared.poll_fd.get(), EPOLL_CTL_ADD, shared.wake_fd.get(), &wake) != 0) {
      return no_pipe(errno);
    }
    thread_ = WorkerThread([shared = shared_] { shared->work(); });
  }
  std::array<int, 2> ends{};
  // Non-blocking is a matter of each opening: the process that opens it by its name waits as with any pipe.
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return no_pipe(errno);
  auto stream = std::make_shared<Stream>();
  stream->source = std::move(source);
  stream->id = ++shared.last_id;
  stream->reading = Fd(ends[0]);
  stream->writing = Fd(ends[1]);
  stream->path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(ends[1]);
  {
    const std::lock_guard lock(shared.mutex);
    shared.streams.emplace(stream->id, stream);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = stream->id;
  if (::epoll_ctl(shared.poll_fd.get(), EPOLL_CTL_ADD, ends[0], &event) != 0) {
    const int code = errno;
    shared.forget(*stream);
    return no_pipe(code);
  }
  return stream;
}

void OutputCollector::finish(const Streams& streams, std::function<void(Status)> done) {
  Streams used;
  for (const auto& stream : streams) {
    // In this order: the thread says that it takes before it takes.
    const bool empty = bytes_in(stream->reading.get()) == 0 && !stream->touched;
    if (empty) {
      shared_->forget(*stream);
    } else {
      used.push_back(stream);
    }
  }
  if (used.empty()) return done({});
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->to_close.push_back({std::move(used), std::move(done)});
  }
  shared_->wake();
}

void OutputCollector::drop(const Streams& streams) {
  for (const auto& stream : streams) shared_->forget(*stream);
}

const std::string& OutputCollector::path(const Stream& stream) {
  return stream.path;
}

const std::string& OutputCollector::tail(const Stream& stream) {
  return stream.tail;
}

}  // namespace trireme
