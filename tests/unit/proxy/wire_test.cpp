#include "proxy/forward/wire.hpp"

#include <random>

#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

TEST_CASE("wire: admission messages arrive as they were sent") {
  const std::vector<AdmissionMessage> messages{
      SlotAsk{.ticket = 5, .service = llama, .priority = Priority::low, .waited_ms = 1, .left_ms = 2},
      SlotCancel{.ticket = 6, .service = llama},
      SlotGrant{.ticket = 7,
                .verdict = SlotGrant::Verdict::full,
                .replica = replica(1, 2),
                .owner = 3,
                .reservation = 4,
                .retry_after_s = 5},
      SlotWant{.replica = replica(3)},
      SlotOffer{.replica = replica(3), .reservations = {1, 2, 3}},
      SlotReturn{.replica = replica(3), .reservations = {4}, .no_waiters = true},
      Load{.entries = {{.replica = replica(1), .load = {.in_flight = 9, .contended = true}}}}};
  for (const auto& message : messages) {
    CAPTURE(message.index());
    CHECK((read_admission(kind_of(message), write(message)) == message));
  }
}

TEST_CASE("wire: body bytes arrive as they were sent, and only from the side that is asked for") {
  const std::string bytes("a\0b", 3);
  const std::string payload = write(CallData{.side = CallSide::owner,
                                             .call = 9,
                                             .end = true,
                                             .load = {.in_flight = 3},
                                             .served = Duration(77),
                                             .bytes = bytes});
  const auto data = read_data(payload, CallSide::owner);
  REQUIRE(data.has_value());
  CHECK(data->call == 9);
  CHECK(data->end);
  CHECK(data->load.in_flight == 3);
  CHECK(data->served == Duration(77));
  CHECK(data->bytes == bytes);
  CHECK_FALSE(read_data(payload, CallSide::ingress).has_value());
  CHECK_FALSE(read_window(write(CallWindow{CallSide::ingress, 1, 2}), CallSide::owner).has_value());
}

TEST_CASE("wire: garbage is no message and does no harm") {
  std::mt19937 random(1);
  int read = 0;
  for (int i = 0; i < 3'000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    for (int kind = 32; kind < 39; ++kind) read += read_admission(static_cast<MessageKind>(kind), bytes).has_value();
    read += read_open(bytes).has_value() + read_head(bytes).has_value() + read_failure(bytes).has_value();
    (void)read_data(bytes, CallSide::owner);
    (void)read_window(bytes, CallSide::owner);
    (void)read_cancel(bytes);
  }
  CHECK(read < 3'000);
  CHECK_FALSE(read_data("short", CallSide::ingress).has_value());
  CHECK_FALSE(read_open("").has_value());
  SlotAsk ask;
  ask.priority = static_cast<Priority>(9);
  CHECK_FALSE(read_admission(MessageKind::slot_ask, write(AdmissionMessage(ask))).has_value());
}
