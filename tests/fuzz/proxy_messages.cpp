// Any bytes as messages between proxies: reading them neither fails nor takes more than its share, what is read is written
// again to the same meaning, and a rank's admission takes whatever it is told without harm.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/admission/admission.hpp"
#include "proxy/forward/wire.hpp"

namespace {

using namespace trireme;
using namespace trireme::proxy;

struct Outbox final : AdmissionOutbox {
  std::vector<std::pair<Rank, AdmissionMessage>> sent;
  void send(Rank to, AdmissionMessage message) override { sent.emplace_back(to, std::move(message)); }
};

/// A message that was read is the same after another journey.
template <typename Read, typename Message>
void check(const Message& message, Read read) {
  const std::string bytes = write(message);
  const auto again = read(bytes);
  if (!again || write(*again) != bytes) std::abort();
}

void read_calls(std::string_view bytes) {
  if (const auto m = read_open(bytes)) check(*m, read_open);
  if (const auto m = read_head(bytes)) check(*m, read_head);
  if (const auto m = read_failure(bytes)) check(*m, read_failure);
  if (const auto m = read_cancel(bytes)) check(*m, read_cancel);
  for (const CallSide side : {CallSide::ingress, CallSide::owner}) {
    if (const auto m = read_window(bytes, side)) check(*m, [&](std::string_view b) { return read_window(b, side); });
    if (const auto m = read_data(bytes, side)) check(*m, [&](std::string_view b) { return read_data(b, side); });
  }
}

EndpointEpoch services() {
  ServiceEndpoint service;
  service.name = "s";
  service.concurrency = 2;
  service.queue = 4;
  for (std::uint32_t i = 0; i < 3; ++i) {
    ReplicaEndpoint replica;
    replica.id = {service.index, i, 0};
    replica.rank = static_cast<Rank>(i);
    replica.state = ReplicaState::ready;
    service.replicas.push_back(replica);
  }
  service.remote.emplace_back();
  service.remote.back().requests_per_minute = 3;
  return {.number = 1, .changed = {service}};
}

constexpr MessageKind kinds[] = {MessageKind::slot_ask,  MessageKind::slot_cancel, MessageKind::slot_grant,
                                 MessageKind::slot_want, MessageKind::slot_offer,  MessageKind::slot_return,
                                 MessageKind::load};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_calls(bytes);

  // The same bytes as a series of {kind, rank, length, message}.
  Outbox out;
  Admission admission(0, out);
  MonoTime now = 1;
  admission.apply(services(), now);
  while (bytes.size() >= 3) {
    const MessageKind kind = kinds[static_cast<unsigned char>(bytes[0]) % std::size(kinds)];
    const Rank from = static_cast<Rank>(static_cast<unsigned char>(bytes[1]) % 4);
    const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(bytes[2]), bytes.size() - 3);
    now += 1'000'000'000;
    if (const auto message = read_admission(kind, bytes.substr(3, length))) {
      if (const auto again = read_admission(kind, write(*message)); !again || *again != *message) std::abort();
      admission.on_message(from, *message, now);
    }
    // What it sends to itself comes back.
    for (int turn = 0; turn < 10 && !out.sent.empty(); ++turn) {
      for (auto& [to, message] : std::exchange(out.sent, {})) {
        if (to == 0) admission.on_message(0, message, now);
      }
      admission.tick(now);
    }
    bytes.remove_prefix(3 + length);
  }
  return 0;
}
