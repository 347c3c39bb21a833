// What passes between a rank and its spawner, over a stream socketpair.
//
// A frame is a header of eight bytes, {u32 length of the rest, u16 version, u16 kind}, and the fields of one message in the
// order of its fields() below: integers as they lie in memory (both ends are on one machine), strings and lists with a u32
// count in front. No frame exceeds max_frame; a reader checks every length before it believes it. Frames from the rank are
// carried out in their order, so a Stop sent after a Spawn always finds its process or the report of its failure.
//
// For each Spawn there is exactly one answer, Started or Failed, and for each Started exactly one Ended, unless the spawner
// itself dies.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace trireme::spawner {

constexpr std::uint16_t protocol_version = 2;
constexpr std::size_t max_frame = 4u << 20;
constexpr std::size_t header_bytes = 8;

/// The variable by which a process that escaped from its task is told to which attempt it belongs. Its value should be
/// unique; where a Spawn's environment has none, the spawner adds one.
constexpr std::string_view attempt_variable = "TRIREME_ATTEMPT";
/// The variable that every process of a run carries, by which the rank finds those whose spawner died.
constexpr std::string_view run_variable = "TRIREME_RUN_ID";

/// A resource limit to set in the child (setrlimit's numbers).
struct Limit {
  std::int32_t resource = 0;
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  auto operator<=>(const Limit&) const = default;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(resource, soft, hard);
  }
};

// ---- rank -> spawner

/// The descriptor at which a process finds the connection that its Spawn asked for.
constexpr int connection_descriptor = 3;

/// Start one process, in a process group of its own.
struct Spawn {
  std::uint64_t id = 0;           ///< named by every later message about it; unique while it lives
  std::vector<std::string> argv;  ///< argv[0] is searched in the PATH of `env` unless it has a slash
  std::vector<std::string> env;   ///< the whole environment, NAME=value
  std::string cwd;                ///< empty: the spawner's
  std::string stdin_path = "/dev/null";
  std::string stdout_path = "/dev/null";
  std::string stderr_path = "/dev/null";  ///< may be stdout_path: both then share one open file
  bool append = false;                    ///< to existing files; otherwise they are truncated
  std::vector<std::uint32_t> cpus;        ///< OS numbers; empty: all that the cgroup allows
  std::vector<Limit> limits;
  std::string connect_path;      ///< a unix socket that the process is connected to, as its descriptor 3; empty: none
  std::string connect_greeting;  ///< what it says there first: by this the listener knows it
  std::uint32_t grace_ms = 0;    ///< between TERM and KILL after the timeout
  std::uint64_t timeout_ms = 0;  ///< 0: none
  template <typename Archive>
  void fields(Archive& archive) {
    archive(id, argv, env, cwd, stdin_path, stdout_path, stderr_path, append, cpus, limits, connect_path,
            connect_greeting, grace_ms, timeout_ms);
  }
};

/// Send a signal to the process group of a task.
struct Signal {
  std::uint64_t id = 0;
  std::int32_t signo = 0;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(id, signo);
  }
};

/// TERM to the group and all descendants, KILL to what is left after the grace. What outlives the main process of a stopped
/// task has the rest of the grace; what outlives one that ended by itself is killed at once.
struct Stop {
  std::uint64_t id = 0;
  std::uint32_t grace_ms = 0;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(id, grace_ms);
  }
};

/// From now on, end everything when this long has passed without another Lease, and refuse to start until one comes: a node
/// that was frozen must do no harm when it wakes. 0: no lease.
struct Lease {
  std::uint32_t duration_ms = 0;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(duration_ms);
  }
};

/// Stop everything, report each end, and exit.
struct Shutdown {
  std::uint32_t grace_ms = 0;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(grace_ms);
  }
};

// ---- spawner -> rank

/// A moment on the two clocks of the node, in nanoseconds.
struct Moment {
  std::int64_t monotonic_ns = 0;
  std::int64_t wall_ns = 0;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(monotonic_ns, wall_ns);
  }
};

/// The program runs: exec has succeeded.
struct Started {
  std::uint64_t id = 0;
  std::int32_t pid = 0;
  Moment at;
  template <typename Archive>
  void fields(Archive& archive) {
    archive(id, pid, at);
  }
};

/// Where the start of a process failed.
enum class Stage : std::uint8_t {
  none,
  refused,  ///< a bad request, a lease that ran out, or the spawner is ending
  process,  ///< no process could be made
  limits,
  affinity,
  working_folder,
  stdin_file,
  stdout_file,
  stderr_file,
  connection,
  program,  ///< exec: by convention ENOENT stands for exit code 127, anything else for 126
};

struct Failed {
  std::uint64_t id = 0;
  std::int32_t error = 0;  ///< errno
  Stage stage = Stage::none;
  std::string text;  ///< for the user: "cannot run 'foo': not found in PATH"
  template <typename Archive>
  void fields(Archive& archive) {
    archive(id, error, stage, text);
  }
};

/// The whole process tree of the task is gone.
struct Ended {
  std::uint64_t id = 0;
  std::int32_t exit_code = 0;  ///< of the main process; meaningless if signo is not 0
  std::int32_t signo = 0;      ///< the signal that ended the main process, or 0
  bool timed_out = false;
  bool stopped = false;        ///< a Stop, a Shutdown or the end of the lease came before its end
  std::uint32_t leftover = 0;  ///< processes that even KILL did not end in time (stuck in the kernel)
  std::uint64_t max_rss_bytes = 0;
  std::uint64_t user_ns = 0;  ///< of the whole tree, as far as its members were waited for
  std::uint64_t system_ns = 0;
  Moment at;  ///< when the main process ended
  template <typename Archive>
  void fields(Archive& archive) {
    archive(id, exit_code, signo, timed_out, stopped, leftover, max_rss_bytes, user_ns, system_ns, at);
  }
};

using Request = std::variant<Spawn, Signal, Stop, Lease, Shutdown>;
using Report = std::variant<Started, Failed, Ended>;

/// Appends the frame of a message (an alternative of the above) to `out`; false, with `out` as it was, if it would exceed max_frame.
template <typename Message>
[[nodiscard]] bool encode(const Message& message, std::string& out);

/// Cuts a stream of bytes into frames. A frame that breaks the protocol makes the reader fail for good.
class FrameReader {
 public:
  struct Frame {
    std::uint16_t kind = 0;
    std::string_view body;
  };
  /// Bytes that arrived.
  void feed(std::string_view bytes);
  /// The next whole frame, valid until the next call of feed(); none if it has not arrived, or after a failure.
  std::optional<Frame> next();
  /// Whether next() would yield a frame.
  bool ready() const;
  bool failed() const { return failed_; }
  std::size_t buffered() const { return buffer_.size() - start_; }

 private:
  std::string buffer_;
  std::size_t start_ = 0;
  bool failed_ = false;
};

/// The message in a frame; none if it is not a message of that direction or is malformed.
std::optional<Request> decode_request(const FrameReader::Frame& frame);
std::optional<Report> decode_report(const FrameReader::Frame& frame);

}  // namespace trireme::spawner
