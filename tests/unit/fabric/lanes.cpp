// Frames, outgoing lanes and incoming lanes, driven against each other without MPI.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "fabric/frame.hpp"
#include "fabric/inbox.hpp"
#include "fabric/outbox.hpp"

using namespace trireme;
using namespace trireme::fabric;

namespace {

constexpr std::size_t frame_bytes = 256;
constexpr std::size_t max_message = 1u << 20;

struct Sent {
  std::uint32_t sequence = 0;
  std::string records;
};

Sent pack(OutLane& lane) {
  std::vector<char> space(frame_bytes);
  FrameWriter writer(space);
  const std::uint32_t sequence = lane.fill(writer, 3, 4);
  const std::size_t length = writer.finish({.flags = FrameHeader::credited, .sequence = sequence});
  REQUIRE(length <= frame_bytes);
  const auto frame = read_frame({space.data(), length});
  REQUIRE(frame);
  REQUIRE(frame->header.sequence == sequence);
  return {sequence, std::string(frame->records)};
}

struct Received {
  std::vector<std::string> messages;
  InLane::Deliver deliver = [this](const RecordHeader& header, std::string_view payload) {
    CHECK(header.source == 3);
    CHECK(header.destination == 4);
    messages.emplace_back(payload);
  };
};

std::string record(RecordHeader header, std::string_view chunk) {
  std::vector<char> space(sizeof(FrameHeader) + sizeof(RecordHeader) + chunk.size());
  FrameWriter writer(space);
  writer.add(header, chunk);
  writer.finish({});
  return {space.data() + sizeof(FrameHeader), space.size() - sizeof(FrameHeader)};
}

}  // namespace

TEST_CASE("several small messages share a frame") {
  OutLane lane(8);
  for (const char* text : {"one", "", "three"}) lane.push(MessageKind::load, text);
  CHECK(lane.backlog() == 8 + 3 * sizeof(RecordHeader));
  const Sent sent = pack(lane);
  CHECK(lane.backlog() == 0);
  CHECK_FALSE(lane.can_send());
  InLane in(8, max_message);
  Received received;
  REQUIRE(in.accept(sent.sequence, sent.records, received.deliver));
  CHECK(received.messages == std::vector<std::string>{"one", "", "three"});
}

TEST_CASE("no more frames go out than there is credit, and credit that comes back lets them go on") {
  OutLane lane(4);
  lane.push(MessageKind::call_data, std::string(10 * frame_bytes, 'x'));
  int sent = 0;
  while (lane.can_send()) pack(lane), ++sent;
  CHECK(sent == 4);
  CHECK(lane.backlog() > 0);
  CHECK(lane.acknowledge(first_sequence + 2));
  while (lane.can_send()) pack(lane), ++sent;
  CHECK(sent == 6);
  CHECK(lane.in_flight() == 4);
  CHECK(lane.acknowledge(first_sequence + 1));  // an old word changes nothing
  CHECK(lane.in_flight() == 4);
  CHECK_FALSE(lane.acknowledge(first_sequence + 7));  // more than was sent
  CHECK(lane.in_flight() == 4);
  CHECK_FALSE(lane.drained());
}

TEST_CASE("messages of all sizes survive frames that arrive out of order") {
  std::mt19937 random(11);
  OutLane out(16);
  InLane in(16, max_message);
  Received received;
  std::vector<std::string> wanted;
  std::deque<Sent> on_the_way;
  constexpr std::size_t count = 400;
  while (received.messages.size() < count) {
    if (wanted.size() < count && random() % 3 == 0) {
      const std::size_t size = random() % 4 == 0 ? random() % 5000 : random() % 40;
      wanted.emplace_back(size, static_cast<char>(random()));
      out.push(MessageKind::call_data, wanted.back());
    }
    if (out.can_send()) on_the_way.push_back(pack(out));
    if (!on_the_way.empty() && random() % 2 == 0) {
      const auto chosen = on_the_way.begin() + static_cast<long>(random() % on_the_way.size());
      REQUIRE(in.accept(chosen->sequence, chosen->records, received.deliver));
      on_the_way.erase(chosen);
    }
    if (in.owed() >= 8) {
      REQUIRE(out.acknowledge(in.taken()));
      in.tell();
      REQUIRE(in.owed() == 0);
    }
    // What is out of order waits in the lane; ask for the oldest when nothing else is left to send.
    if (!out.can_send() && !on_the_way.empty()) {
      REQUIRE(in.accept(on_the_way.front().sequence, on_the_way.front().records, received.deliver));
      on_the_way.pop_front();
    }
  }
  CHECK(received.messages == wanted);
  CHECK(out.acknowledge(in.taken()));
  CHECK(out.drained());
}

TEST_CASE("frames out of their credit, or seen before, are refused") {
  OutLane out(4);
  InLane in(4, max_message);
  Received received;
  out.push(MessageKind::load, "first");
  const Sent first = pack(out);
  CHECK_FALSE(in.accept(first_sequence + 4, first.records, received.deliver));
  CHECK(in.accept(first_sequence + 2, first.records, received.deliver));
  CHECK_FALSE(in.accept(first_sequence + 2, first.records, received.deliver));
  CHECK(in.accept(first_sequence + 0, first.records, received.deliver));
  CHECK_FALSE(in.accept(first_sequence + 0, first.records, received.deliver));
  CHECK(received.messages.size() == 1);
}

TEST_CASE("records that contradict each other are refused") {
  Received received;
  const auto refused = [&](std::vector<std::string> frames) {
    InLane in(8, max_message);
    std::uint32_t sequence = first_sequence;
    return std::any_of(frames.begin(), frames.end(),
                       [&](const std::string& frame) { return !in.accept(sequence++, frame, received.deliver); });
  };
  const RecordHeader whole{.kind = MessageKind::load, .flags = 3, .source = 3, .destination = 4};
  const auto with = [&](std::uint8_t flags, std::uint32_t total) {
    RecordHeader header = whole;
    header.flags = flags;
    header.total = total;
    return header;
  };
  CHECK_FALSE(refused({record(with(3, 5), "whole")}));
  CHECK_FALSE(refused({record(with(1, 6), "two "), record(with(2, 6), "in")}));
  CHECK(refused({record(with(3, 4), "whole")}));
  CHECK(refused({record(with(2, 5), "whole")}));                           // no beginning
  CHECK(refused({record(with(1, 5), "abc"), record(with(1, 5), "de")}));   // two beginnings
  CHECK(refused({record(with(1, 5), "abc"), record(with(2, 5), "def")}));  // too much
  CHECK(refused({record(with(1, 5), "abc"), record(with(2, 5), "d")}));    // too little
  CHECK(refused({record(with(1, 5), "abc"), record(with(2, 6), "de")}));   // another total
  CHECK(refused({record(with(1, max_message + 1), "abc")}));
  CHECK(refused({record(with(3, 5), "whole").substr(1)}));
  CHECK(refused({"short"}));
}

TEST_CASE("sequence numbers may wrap") {
  OutLane out(4);
  InLane in(4, max_message);
  Received received;
  constexpr std::uint32_t count = 0x100 + 50;
  for (std::uint32_t i = 0; i < count; ++i) {
    out.push(MessageKind::load, std::to_string(i));
    const Sent sent = pack(out);
    REQUIRE(in.accept(sent.sequence, sent.records, received.deliver));
    REQUIRE(out.acknowledge(in.taken()));
  }
  CHECK(in.taken() == 50);
  CHECK(received.messages.size() == count);
  CHECK(out.acknowledge(first_sequence));  // an old word from before the wrap
  CHECK(out.drained());
  CHECK_FALSE(out.acknowledge(in.taken() + 1));
}

TEST_CASE("bytes that are no frame are not read as one") {
  std::mt19937 random(7);
  int frames = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string noise(random() % 200, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    if (noise.size() >= sizeof(FrameHeader) && round % 2 == 0) {
      // Half of them get past the header, so that the records are tried.
      FrameHeader header{.length = static_cast<std::uint32_t>(noise.size() - sizeof(FrameHeader))};
      std::copy_n(reinterpret_cast<const char*>(&header), sizeof header, noise.data());
    }
    const auto frame = read_frame(noise);
    if (!frame) continue;
    ++frames;
    InLane in(4, 1000);
    static_cast<void>(in.accept(first_sequence, frame->records, [](const RecordHeader&, std::string_view) {}));
  }
  CHECK(frames > 1000);
}
