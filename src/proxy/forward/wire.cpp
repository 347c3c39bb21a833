#include "proxy/forward/wire.hpp"

#include <type_traits>
#include <utility>

#include "archive/bounded.hpp"

namespace trireme::proxy {

namespace {

template <typename T>
std::optional<T> read_as(std::string_view bytes) {
  auto result = archive::read<T>(bytes);
  if (!result) return std::nullopt;
  return *std::move(result);
}

/// What precedes the bytes of a CallData: of fixed length, so the bytes need no copy of their own.
struct DataPrefix {
  CallSide side = CallSide::ingress;
  std::uint64_t call = 0;
  bool end = false;
  LoadReport load;
  Duration served{0};
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(side, call, end, load, served);
  }
};
constexpr std::size_t data_prefix_bytes = 1 + 8 + 1 + 4 + 1 + 1 + 8;

bool valid(Priority priority) {
  return static_cast<std::size_t>(priority) < priorities;
}

}  // namespace

std::optional<CallOpen> read_open(std::string_view bytes) {
  return read_as<CallOpen>(bytes);
}
std::optional<CallHead> read_head(std::string_view bytes) {
  return read_as<CallHead>(bytes);
}
std::optional<CallFailure> read_failure(std::string_view bytes) {
  auto failure = read_as<CallFailure>(bytes);
  if (failure && failure->kind > CallError::Kind::refused) return std::nullopt;
  return failure;
}
std::optional<CallWindow> read_window(std::string_view bytes, CallSide side) {
  const auto window = read_as<CallWindow>(bytes);
  return window && window->side == side ? window : std::nullopt;
}
std::optional<CallCancel> read_cancel(std::string_view bytes) {
  return read_as<CallCancel>(bytes);
}

std::optional<CallData> read_data(std::string_view bytes, CallSide side) {
  const auto prefix = read_as<DataPrefix>(bytes.substr(0, data_prefix_bytes));
  if (!prefix || prefix->side != side) return std::nullopt;
  return CallData{.side = prefix->side,
                  .call = prefix->call,
                  .end = prefix->end,
                  .load = prefix->load,
                  .served = prefix->served,
                  .bytes = bytes.substr(data_prefix_bytes)};
}

std::string write(const CallOpen& message) {
  return archive::write(message);
}
std::string write(const CallHead& message) {
  return archive::write(message);
}
std::string write(const CallFailure& message) {
  return archive::write(message);
}
std::string write(const CallWindow& message) {
  return archive::write(message);
}
std::string write(const CallCancel& message) {
  return archive::write(message);
}

std::string write(const CallData& message) {
  std::string out;
  out.reserve(data_prefix_bytes + message.bytes.size());
  archive::write_to(out, DataPrefix{.side = message.side,
                                    .call = message.call,
                                    .end = message.end,
                                    .load = message.load,
                                    .served = message.served});
  out.append(message.bytes);
  return out;
}

MessageKind kind_of(const AdmissionMessage& message) {
  constexpr MessageKind kinds[] = {MessageKind::slot_ask,  MessageKind::slot_cancel, MessageKind::slot_grant,
                                   MessageKind::slot_want, MessageKind::slot_offer,  MessageKind::slot_return,
                                   MessageKind::load};
  static_assert(std::size(kinds) == std::variant_size_v<AdmissionMessage>);
  return kinds[message.index()];
}

std::string write(const AdmissionMessage& message) {
  return std::visit([](const auto& m) { return archive::write(m); }, message);
}

std::optional<AdmissionMessage> read_admission(MessageKind kind, std::string_view bytes) {
  switch (kind) {
    case MessageKind::slot_ask: {
      const auto ask = read_as<SlotAsk>(bytes);
      if (!ask || !valid(ask->priority)) return std::nullopt;
      return *ask;
    }
    case MessageKind::slot_cancel:
      return read_as<SlotCancel>(bytes);
    case MessageKind::slot_grant:
      return read_as<SlotGrant>(bytes);
    case MessageKind::slot_want:
      return read_as<SlotWant>(bytes);
    case MessageKind::slot_offer:
      return read_as<SlotOffer>(bytes);
    case MessageKind::slot_return:
      return read_as<SlotReturn>(bytes);
    case MessageKind::load:
      return read_as<Load>(bytes);
    default:
      return std::nullopt;
  }
}

}  // namespace trireme::proxy
