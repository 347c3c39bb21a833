// What the outcome of one attempt says of the health of whoever it was sent to (docs/spec/admission.md, "Health").
//
// A busy server must not be taken for a dead one: a connection that was not accepted in time, a slow answer, a refusal with
// Retry-After and whatever the client brought about speak against nobody.
#pragma once

#include <cstdint>

#include "core/units.hpp"
#include "proxy/call.hpp"

namespace trireme::proxy {

struct Evidence {
  enum class Kind : std::uint8_t {
    none,     ///< says nothing
    alive,    ///< it has answered
    trouble,  ///< it has not, or says itself that it cannot
    proof,    ///< nobody is there
    busy,     ///< by its own word, for `rest`
  };
  Kind kind = Kind::none;
  Duration rest{0};
  bool operator==(const Evidence&) const = default;
};

Evidence evidence_of(const CallError& error);
/// Of an answer, by its head. A remote endpoint that says 429 or 503 rests even where it does not say for how long.
Evidence evidence_of(const http::ResponseHead& head, bool remote);

}  // namespace trireme::proxy
