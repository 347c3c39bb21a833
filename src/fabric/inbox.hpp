// What comes from one peer in one class: frames put back in order, chunks put together, credit
// counted.
//
// Pure; no MPI. A frame that came early waits for those before it; the peer's credit bounds how
// many can. A frame is taken in when its records have been delivered, and each one taken in is a
// credit owed to the peer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "fabric/frame.hpp"

namespace trireme::fabric {

class InLane {
 public:
  /// Gets complete messages; `payload` is valid during the call only.
  using Deliver = std::function<void(const RecordHeader& header, std::string_view payload)>;

  InLane(std::uint32_t credits, std::size_t max_message) : credits_(credits), max_message_(max_message) {}

  /// Takes a credited frame's records. False if the peer broke the rules: nothing more can be taken
  /// from it.
  [[nodiscard]] bool accept(std::uint32_t sequence, std::string_view records, const Deliver& deliver);

  /// The sequence number that is expected next: all before it are taken in.
  std::uint32_t taken() const { return expected_; }
  std::uint32_t owed() const { return expected_ - told_; }
  /// The peer is being told taken().
  void tell() { told_ = expected_; }

 private:
  bool take(std::string_view records, const Deliver& deliver);

  std::uint32_t credits_;
  std::size_t max_message_;
  std::uint32_t expected_ = first_sequence;
  std::uint32_t told_ = first_sequence;
  std::map<std::uint32_t, std::string> early_;
  std::string partial_;
  bool open_ = false;
  RecordHeader open_header_;
};

}  // namespace trireme::fabric
