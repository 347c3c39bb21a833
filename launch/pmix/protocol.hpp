// What passes between an agent and its PMIx server (trireme-pmix), over one stream socket.
//
// A frame is a u32 length and a message, as the bounded archive writes it. No frame exceeds defaults::pmix_frame. A namespace is
// the attempt of an MPI task as the server knows it; calls that the other end answers later are numbered by the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.hpp"

namespace trireme::pmix {

// ---- agent -> server

/// Make a namespace known and its ranks on this host clients. Answered by Opened.
struct Open {
  std::string name;
  std::uint32_t size = 0;
  std::vector<std::string> hosts;                      ///< names
  std::vector<std::vector<std::uint32_t>> host_ranks;  ///< which ranks each has
  std::uint32_t here = 0;                              ///< which of them this one is
  std::string folder;                                  ///< of its session on this host; made and removed by the server
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, size, hosts, host_ranks, here, folder);
  }
};

/// Its ranks are gone. Answered by Closed.
struct Close {
  std::string name;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name);
  }
};

/// A rank's process has ended, and well.
struct Left {
  std::string name;
  std::uint32_t rank = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, rank);
  }
};

/// What all hosts gave to a fence: the answer to Fence.
struct FenceDone {
  std::uint64_t call = 0;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, bytes);
  }
};

/// Another host asks for what a rank here has published. Answered by Fetched.
struct Fetch {
  std::uint64_t call = 0;
  std::string name;
  std::uint32_t rank = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, name, rank);
  }
};

/// The answer to a Modex.
struct ModexDone {
  std::uint64_t call = 0;
  std::int32_t status = 0;  ///< PMIx's
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, status, bytes);
  }
};

// ---- server -> agent

/// The first message: it serves; or why it cannot.
struct Ready {
  std::string error;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(error);
  }
};

struct RankEnvironment {
  std::uint32_t rank = 0;
  std::vector<std::string> entries;  ///< NAME=value
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(rank, entries);
  }
};

struct Opened {
  std::string name;
  std::string error;  ///< empty: it is open
  std::vector<RankEnvironment> ranks;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, error, ranks);
  }
};

struct Closed {
  std::string name;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name);
  }
};

/// The ranks here have all come to a fence that has ranks elsewhere.
struct Fence {
  std::uint64_t call = 0;
  std::string name;
  std::vector<std::uint32_t> ranks;  ///< that take part; empty: all
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, name, ranks, bytes);
  }
};

/// A rank here wants to know what one elsewhere has published.
struct Modex {
  std::uint64_t call = 0;
  std::string name;
  std::uint32_t rank = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, name, rank);
  }
};

struct Fetched {
  std::uint64_t call = 0;
  std::int32_t status = 0;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, status, bytes);
  }
};

/// A namespace cannot go on: a rank called MPI_Abort, or is gone while others wait for it.
struct Broken {
  std::string name;
  std::uint32_t rank = 0;
  std::int32_t exit_code = 1;
  std::string what;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, rank, exit_code, what);
  }
};

using ToServer = std::variant<Open, Close, Left, FenceDone, Fetch, ModexDone>;
using FromServer = std::variant<Ready, Opened, Closed, Fence, Modex, Fetched, Broken>;

/// A whole frame; empty if the message is too large for one.
std::string frame(const ToServer& message);
std::string frame(const FromServer& message);

/// Cuts a stream into messages.
template <typename Message>
class Reader {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next message; none if it is not all there; an Error if the other end speaks nonsense.
  std::optional<Result<Message>> next();

 private:
  std::string buffer_;
  std::size_t start_ = 0;
};

}  // namespace trireme::pmix
