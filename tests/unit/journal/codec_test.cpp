#include "journal/codec.hpp"

#include <random>

#include "journal/crc32c.hpp"
#include "support.hpp"

namespace trireme {
namespace {

using namespace test;

TEST_CASE("crc32c agrees with its published check values, with and without the instruction") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c_portable("123456789") == 0xE3069283u);
  CHECK(crc32c("") == 0);
  CHECK(crc32c_portable(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(crc32c("456789", crc32c("123")) == crc32c("123456789"));
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 100; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    CHECK(crc32c(bytes) == crc32c_portable(bytes));
  }
}

TEST_CASE("an event of every kind comes back as it was written") {
  for (const EventBody& event : sample_events()) {
    CAPTURE(kind_name(event));
    std::string payload;
    encode_event(event, payload);
    const auto back = decode_event(kind_of(event), payload);
    REQUIRE(back.ok());
    CHECK(back->index() == event.index());
    CHECK(wire(*back) == wire(event));
  }
}

TEST_CASE("fields keep their values, not only their bytes") {
  const EventBody started = sample_events()[6];
  std::string payload;
  encode_event(started, payload);
  const auto back = decode_event(kind_of(started), payload);
  REQUIRE(back.ok());
  const auto& event = std::get<events::AttemptStarted>(*back);
  CHECK(event.attempt == AttemptId{TaskIndex{3}, 1});
  CHECK(event.rank == 2);
  CHECK(event.pid == 4711);
  CHECK(event.cores == std::vector<std::uint32_t>{0, 1, 63});
  CHECK(event.gpus == std::vector<std::uint32_t>{7});
}

TEST_CASE("the bytes of a payload are those of the specification") {
  std::string payload;
  encode_event(events::TaskChanged{TaskIndex{7}, TaskState::failed, "no"}, payload);
  CHECK(payload == std::string("\x07\0\0\0\x04\x02\0\0\0\0\0\0\0no", 15));
  CHECK(kind_of(events::TaskChanged{}).kind == 5);
  CHECK(kind_of(events::RunEnded{}).kind == 15);
}

TEST_CASE("bytes that a newer version appended are ignored") {
  std::string payload;
  encode_event(events::Warning{"careful"}, payload);
  payload += "and more";
  const auto back = decode_event({13, 2}, payload);
  REQUIRE(back.ok());
  CHECK(std::get<events::Warning>(*back).text == "careful");
}

TEST_CASE("fields that an older version lacks are zero or empty") {
  std::string payload;
  encode_event(events::TaskChanged{TaskIndex{7}, TaskState::failed, ""}, payload);
  payload.resize(5);  // without the reason's length
  CHECK_FALSE(decode_event({5, 1}, payload).ok());
  const auto back = decode_event({5, 0}, payload);
  REQUIRE(back.ok());
  CHECK(std::get<events::TaskChanged>(*back).state == TaskState::failed);
  CHECK(std::get<events::TaskChanged>(*back).reason.empty());
}

TEST_CASE("requests that were counted before their times were have none") {
  const ServiceSample counted{ServiceIndex{0}, 100, 2, 5, {{2, 98, 1}}};
  std::string payload;
  encode_event(events::RequestsCounted{1, counted}, payload);
  payload.resize(payload.size() - 3 * 24);
  const auto back = decode_event({12, 2}, payload);
  REQUIRE(back.ok());
  CHECK(std::get<events::RequestsCounted>(*back).sample == counted);
}

TEST_CASE("a length that claims more than there is costs nothing") {
  std::string payload;
  encode_event(events::EpochPublished{1, Duration(1), {}}, payload);
  for (const unsigned char claim : {0x10, 0x7F, 0xFF}) {
    std::string damaged = payload;
    for (std::size_t i = damaged.size() - 8; i < damaged.size(); ++i) {
      damaged[i] = static_cast<char>(claim);
    }
    CHECK_FALSE(decode_event({11, 1}, damaged).ok());
  }
}

TEST_CASE("no payload, however damaged, does more than fail to be read") {
  std::mt19937 random(2);
  std::size_t refused = 0;
  for (const EventBody& event : sample_events()) {
    std::string payload;
    encode_event(event, payload);
    for (std::size_t size = 0; size < payload.size(); ++size) {
      const bool ok = decode_event(kind_of(event), payload.substr(0, size)).ok();
      CHECK_FALSE(ok);
      refused += ok ? 0 : 1;
    }
    for (int i = 0; i < 300; ++i) {
      std::string damaged = payload;
      for (int flips = 0; flips < 3; ++flips) {
        damaged[random() % damaged.size()] ^= static_cast<char>(1u << (random() % 8));
      }
      const auto read = decode_event(kind_of(event), damaged);
      if (read.ok()) static_cast<void>(wire(*read));
    }
  }
  CHECK(refused > 0);
  for (int i = 0; i < 5000; ++i) {
    std::string noise(random() % 200, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    const EventKind kind{static_cast<std::uint16_t>(random() % (last_kind + 2)),
                         static_cast<std::uint16_t>(random() % 3)};
    const auto read = decode_event(kind, noise);
    if (read.ok()) static_cast<void>(wire(*read));
  }
}

}  // namespace
}  // namespace trireme
