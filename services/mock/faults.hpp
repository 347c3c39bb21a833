// Faults that the mock server makes on purpose: which, and whether a request draws one.
//
// Written as NAME[=VALUE][@PROBABILITY], several with commas, on the command line or in a request's X-Mock-Fault header:
//
//   slow=2s        the answer's head comes that much later
//   hang           the request is never answered
//   stall=5        the answer stops after 5 tokens, and the connection stays open
//   reset=5        the connection is reset after 5 tokens
//   short          Content-Length promises more than comes; a stream ends without its end
//   garbage        the answer is no HTTP
//   status=500     an error answer
//
// What is random is drawn from a generator with a seed, one number per fault and request in the order written, so the same
// requests in the same order meet the same faults.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "core/units.hpp"

namespace trireme::mock {

struct Fault {
  enum class Kind : std::uint8_t { slow, hang, stall, reset, cut, garbage, status };
  Kind kind = Kind::hang;
  Duration delay{0};
  std::uint64_t value = 0;  ///< tokens, or the status
  double probability = 1;
  bool operator==(const Fault&) const = default;
};

Result<std::vector<Fault>> parse_faults(std::string_view text);

/// The first that strikes.
std::optional<Fault> draw(const std::vector<Fault>& faults, std::mt19937_64& random);

}  // namespace trireme::mock
