#include "journal/codec.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "archive/bounded.hpp"

namespace trireme {
namespace {

using Decode = EventBody (*)(std::string_view);

template <std::size_t index>
EventBody decode_as(std::string_view payload) {
  std::variant_alternative_t<index, EventBody> event;
  archive::BoundedInput in(payload);
  in(event);
  return EventBody(std::in_place_index<index>, std::move(event));
}

template <std::size_t... index>
constexpr std::array<Decode, sizeof...(index)> make_decoders(std::index_sequence<index...>) {
  return {decode_as<index>...};
}

constexpr auto decoders = make_decoders(std::make_index_sequence<last_kind>{});

/// The current version of each kind: counted up when fields are appended to it.
constexpr std::uint16_t version_of(std::uint16_t kind) {
  constexpr std::uint16_t requests_counted = 12;
  if (kind == requests_counted) return 3;
  constexpr std::array<std::uint16_t, 5> grown{1, 7, 8, 9, 10};
  return std::find(grown.begin(), grown.end(), kind) != grown.end() ? 2 : 1;
}

}  // namespace

EventKind kind_of(const EventBody& body) {
  const auto kind = static_cast<std::uint16_t>(body.index() + 1);
  return {kind, version_of(kind)};
}

void encode_event(const EventBody& body, std::string& out) {
  std::visit([&out](const auto& event) { archive::write_to(out, event); }, body);
}

Result<EventBody> decode_event(EventKind kind, std::string_view payload) {
  if (kind.kind == 0 || kind.kind > last_kind) {
    return Error{"an event of unknown kind " + std::to_string(kind.kind), "", ""};
  }
  std::string with_later_fields;
  if (kind.version < version_of(kind.kind)) {
    // What is zero or empty is written as zeros, whatever its type.
    constexpr std::size_t enough = 1024;
    with_later_fields.append(payload).append(enough, '\0');
    payload = with_later_fields;
  }
  try {
    return decoders.at(kind.kind - 1U)(payload);
  } catch (const cereal::Exception& error) {
    return Error{"an event of kind " + std::to_string(kind.kind) + " " + error.what(), "", ""};
  }
}

}  // namespace trireme
