// Events as the payloads of records, and back. Pure; the wire form is in docs/spec/events.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/events.hpp"
#include "core/result.hpp"

namespace trireme {

/// Kinds are numbered from 1, in the order of EventBody.
constexpr std::uint16_t last_kind = std::variant_size_v<EventBody>;

struct EventKind {
  std::uint16_t kind = 0;
  std::uint16_t version = 0;
};
/// What this program writes for an event of that type.
EventKind kind_of(const EventBody& body);

/// Appends the payload to `out`.
void encode_event(const EventBody& body, std::string& out);

/// Reads a payload. Bytes that a newer version appended are ignored; fields that an older version lacks are zero or empty.
/// An unknown kind is an error here: callers ask before whether `kind` is 1 to last_kind.
Result<EventBody> decode_event(EventKind kind, std::string_view payload);

}  // namespace trireme
