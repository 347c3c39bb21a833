// What is asked of a run while it is on, and what it answers: `/runtime` (docs/spec/http.md) as it travels from the proxy of a
// rank to the pilot and back. Plain values, of the control class.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct RuntimeRequest {
  std::uint64_t number = 0;  ///< of the asking rank's, for its answer
  std::string method;
  std::string target;  ///< "/runtime/tasks/train?…"
  std::string body;
  bool operator==(const RuntimeRequest&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number, method, target, body);
  }
};

struct RuntimeAnswer {
  std::uint64_t number = 0;
  std::int32_t status = 200;  ///< of HTTP
  std::string body;           ///< JSON
  std::uint64_t epoch = 0;  ///< the endpoint epoch that whoever asked may count on: it is given once its rank knows it
  bool operator==(const RuntimeAnswer&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number, status, body, epoch);
  }
};

/// Nobody waits for that answer any more.
struct RuntimeDrop {
  std::uint64_t number = 0;
  bool operator==(const RuntimeDrop&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number);
  }
};

}  // namespace trireme
