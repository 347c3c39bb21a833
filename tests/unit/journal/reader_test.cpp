#include "journal/reader.hpp"

#include <algorithm>
#include <random>

#include "support.hpp"

namespace trireme {
namespace {

using namespace test;
using namespace std::chrono_literals;

/// Where each record begins in a segment of intact records, and where the last one ends.
std::vector<std::size_t> boundaries(const std::string& segment) {
  std::vector<std::size_t> out{parse_segment_header(segment)->bytes};
  while (const auto record = parse_record(std::string_view(segment).substr(out.back()))) {
    out.push_back(out.back() + record->bytes());
  }
  return out;
}

TEST_CASE("a segment's header comes back, and a damaged one does not") {
  const SegmentHeader header{.number = 7, .created = 99, .run_id = "run-1"};
  const std::string bytes = encode_segment_header(header);
  const auto parsed = parse_segment_header(bytes + "more");
  REQUIRE(parsed);
  CHECK(parsed->header == header);
  CHECK(parsed->bytes == bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= 0x10;
    CHECK_FALSE(parse_segment_header(damaged));
    CHECK_FALSE(parse_segment_header(bytes.substr(0, i)));
  }
}

TEST_CASE("names of segments are told from other files") {
  CHECK(segment_name(12) == "00000012.log");
  CHECK(segment_number("00000012.log") == 12u);
  CHECK(segment_number("123456789.log") == 123456789u);
  CHECK_FALSE(segment_number("notes.log"));
  CHECK_FALSE(segment_number("00000012.log~"));
  CHECK_FALSE(segment_number("12.log"));
}

TEST_CASE("a folder without an event log is an error with the exit code of wrong usage") {
  const auto reader = JournalReader::open("/nonexistent/events");
  REQUIRE_FALSE(reader.ok());
  CHECK(reader.error().code == ExitCode::usage);
  CHECK(reader.error().text().find("/nonexistent/events") != std::string::npos);
}

TEST_CASE("truncated at any byte, a log yields exactly the whole records before it") {
  const TemporaryFolder folder;
  const std::vector<EventBody> events = sample_events();
  const std::string whole = segment_of(events);
  const std::vector<std::size_t> ends = boundaries(whole);
  REQUIRE(ends.size() == events.size() + 1);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    write_file(folder.path() / segment_name(0), whole.substr(0, size));
    JournalReader reader = open_reader(folder.path());
    const std::size_t read = read_all(reader).size();
    const auto complete = static_cast<std::size_t>(
        std::count_if(ends.begin() + 1, ends.end(), [size](std::size_t end) { return end <= size; }));
    CHECK(read == complete);
    CHECK(reader.problems().empty());
    const bool at_boundary = std::find(ends.begin(), ends.end(), size) != ends.end();
    CHECK(reader.torn_tail().has_value() == !at_boundary);
  }
}

TEST_CASE("a torn tail becomes an event once the rest of it is there") {
  const TemporaryFolder folder;
  const std::vector<EventBody> events = sample_events();
  const std::string whole = segment_of(events);
  const std::vector<std::size_t> ends = boundaries(whole);
  const auto path = folder.path() / segment_name(0);

  std::string torn = whole.substr(0, ends[3] + 10);
  write_file(path, torn);
  JournalReader reader = open_reader(folder.path(), {.follow = true});
  CHECK(read_all(reader).size() == 3);
  CHECK(reader.torn_tail() == LogPosition{0, ends[3]});

  SUBCASE("appended") {
    write_file(path, whole);
  }
  SUBCASE("that first showed as zeros") {
    torn.append(ends[4] - torn.size(), '\0');
    write_file(path, torn);
    CHECK_FALSE(reader.next());
    write_file(path, whole);
  }
  CHECK(read_all(reader).size() == events.size() - 3);
  CHECK_FALSE(reader.torn_tail());
  CHECK(reader.problems().empty());
}

TEST_CASE("a damaged record in the middle is reported with its place, and the rest is read") {
  const TemporaryFolder folder;
  const std::vector<EventBody> events = sample_events();
  const std::string whole = segment_of(events);
  const std::vector<std::size_t> ends = boundaries(whole);
  const std::size_t victim = 4;

  for (std::size_t at = ends[victim]; at < ends[victim + 1]; ++at) {
    CAPTURE(at - ends[victim]);
    std::string damaged = whole;
    damaged[at] ^= 0x55;
    write_file(folder.path() / segment_name(0), damaged);
    JournalReader reader = open_reader(folder.path());
    std::vector<std::string> expected = wires(events);
    expected.erase(expected.begin() + victim);
    CHECK(read_all(reader) == expected);
    REQUIRE(reader.problems().size() == 1);
    CHECK(reader.problems()[0].at == LogPosition{0, ends[victim]});
    CHECK(reader.problems()[0].bytes == ends[victim + 1] - ends[victim]);
    CHECK(reader.problems()[0].text().find("00000000.log, offset ") == 0);
  }
}

TEST_CASE("damage at the end of a segment that is not the last is a problem, not a torn tail") {
  const TemporaryFolder folder;
  const std::string whole = segment_of(sample_events());
  write_file(folder.path() / segment_name(0), whole.substr(0, whole.size() - 3));
  write_file(folder.path() / segment_name(1), segment_of({events::Warning{"later"}}, 1));
  JournalReader reader = open_reader(folder.path());
  const auto events = read_all(reader);
  CHECK(events.size() == last_kind);
  CHECK(events.back() == wire(events::Warning{"later"}));
  CHECK(reader.problems().size() == 1);
  CHECK_FALSE(reader.torn_tail());
}

TEST_CASE("a segment with a damaged header is read all the same") {
  const TemporaryFolder folder;
  std::string damaged = segment_of(sample_events());
  damaged[3] ^= 1;
  write_file(folder.path() / segment_name(0), damaged);
  JournalReader reader = open_reader(folder.path());
  CHECK(read_all(reader) == wires(sample_events()));
  CHECK(reader.problems().size() == 1);
}

TEST_CASE("a missing segment is told") {
  const TemporaryFolder folder;
  write_file(folder.path() / segment_name(0), segment_of({events::Warning{"a"}}));
  write_file(folder.path() / segment_name(2), segment_of({events::Warning{"c"}}, 2));
  JournalReader reader = open_reader(folder.path());
  CHECK(read_all(reader).size() == 2);
  REQUIRE(reader.problems().size() == 1);
  CHECK(reader.problems()[0].text().find("00000001.log") == 0);
}

TEST_CASE("records of unknown kinds are passed over") {
  const TemporaryFolder folder;
  std::string segment = segment_of({events::Warning{"before"}});
  const std::size_t begin = begin_record(segment);
  segment += "what a later version has to say";
  end_record(segment, begin, last_kind + 1, 1, 1'700'000'000'000'000'000);
  segment += segment_of({events::Warning{"after"}}).substr(parse_segment_header(segment)->bytes);
  write_file(folder.path() / segment_name(0), segment);
  JournalReader reader = open_reader(folder.path());
  CHECK(read_all(reader) == wires({events::Warning{"before"}, events::Warning{"after"}}));
  CHECK(reader.unknown_records() == 1);
  CHECK(reader.problems().empty());
}

TEST_CASE("a segment of another format is refused in words") {
  const TemporaryFolder folder;
  const SegmentHeader header{.format = 9, .number = 0, .created = 1, .run_id = "x"};
  write_file(folder.path() / segment_name(0), encode_segment_header(header) + "who knows");
  JournalReader reader = open_reader(folder.path());
  CHECK(read_all(reader).empty());
  REQUIRE(reader.problems().size() == 1);
  CHECK(reader.problems()[0].text().find("format 9") != std::string::npos);
}

TEST_CASE("no damage makes a reader fail, loop or invent events") {
  const TemporaryFolder folder;
  const std::vector<EventBody> events = sample_events();
  const std::vector<std::string> intact = wires(events);
  const std::string whole = segment_of(events);
  std::mt19937 random(3);
  for (int round = 0; round < 1500; ++round) {
    std::string bytes = whole;
    switch (round % 4) {
      case 0:  // bits flip
        for (unsigned flips = 1 + random() % 8; flips > 0; --flips) {
          bytes[random() % bytes.size()] ^= static_cast<char>(1u << (random() % 8));
        }
        break;
      case 1:  // a hole of zeros
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(random() % (bytes.size() / 2)),
                    random() % (bytes.size() / 2), '\0');
        break;
      case 2:  // bytes are missing
        bytes.erase(random() % bytes.size(), random() % 64);
        break;
      default:  // noise
        for (char& c : bytes) c = static_cast<char>(random());
    }
    write_file(folder.path() / segment_name(0), bytes);
    JournalReader reader = open_reader(folder.path());
    const std::vector<std::string> read = read_all(reader);
    // Whatever is read was written, in that order.
    auto from = intact.begin();
    for (const std::string& one : read) {
      from = std::find(from, intact.end(), one);
      REQUIRE(from != intact.end());
      ++from;
    }
  }
}

}  // namespace
}  // namespace trireme
