// Numbers of a service's replicas, where its remote endpoints are counted beside them: those have numbers from `first_remote` on.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

/// In the order of the service's list.
constexpr std::uint32_t first_remote = 0x8000'0000;

/// As users read it: "2", or "remote-0".
inline std::string replica_name(std::uint32_t replica) {
  return replica < first_remote ? std::to_string(replica) : "remote-" + std::to_string(replica - first_remote);
}

}  // namespace trireme
