// What the tests of the event log share: a folder that goes away, and an event of every kind.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "journal/codec.hpp"
#include "journal/reader.hpp"
#include "journal/segment.hpp"

namespace trireme::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "trireme-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  REQUIRE(file.good());
}

/// One event of every kind, with every field set.
inline std::vector<EventBody> sample_events() {
  const TaskIndex task{3};
  const AttemptId attempt{task, 1};
  const ReplicaId replica{ServiceIndex{0}, 2, 1};
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.exit_code = 127;
  end.signal = 9;
  end.reason = "not found";
  end.result = R"({"loss":0.25})";
  end.usage = {.max_rss = 1234567, .user = Duration(1'500'000'000), .system = Duration(7)};
  end.started = 1'700'000'000'000'000'001;
  end.ended = 1'700'000'001'000'000'002;
  std::vector<EventBody> events{
      events::RunStarted{"run-1", "screening", "0.1.0", "/home/user/flow.yaml", 4, {"trials=2"}},
      events::NodeJoined{2, "n002", {64, 8000, 512ull << 30}},
      events::NodeLost{2, "no heartbeat for 30 s"},
      events::TaskSubmitted{task,
                            "train[seed=1]",
                            "train",
                            16,
                            {4, 250, 8ull << 30},
                            -3,
                            2,
                            {"prepare", "fetch"},
                            {"llama"},
                            "./train --seed 1"},
      events::TaskChanged{task, TaskState::failed, "exit code 127"},
      events::AttemptPlaced{attempt, 2, 8},
      events::AttemptStarted{attempt, 2, 4711, 1'700'000'000'500'000'000, {0, 1, 63}, {7}, "pmix: linked"},
      events::AttemptEnded{attempt, 2, end},
      events::ServiceDeclared{ServiceIndex{0}, "llama", 4, {8, 1000, 0}, {"llama-3-8b"}, 1},
      events::ReplicaChanged{replica, ReplicaState::ready, 1, 815, "127.0.0.1:4711", "because",
                             Duration(2'500'000'000)},
      events::EpochPublished{12, Duration(300'000), {replica}},
      events::RequestsCounted{1, {ServiceIndex{0}, 100, 2, 5, {{2, 98, 1}}}},
      events::Warning{"more ranks than cores"},
      events::RunDraining{"SIGTERM"},
      events::RunEnded{RunState::interrupted, 75, "drained"},
      events::WorkflowGrew{3, R"({"tasks":[{"id":"more"}]})"}};
  REQUIRE(events.size() == last_kind);
  return events;
}

/// Equality of events, which are compared by what they say on the wire.
inline std::string wire(const EventBody& event) {
  std::string out(kind_name(event));
  encode_event(event, out);
  return out;
}

inline std::string segment_of(const std::vector<EventBody>& events, std::uint32_t number = 0,
                              WallTime time = 1'700'000'000'000'000'000) {
  std::string out = encode_segment_header({.number = number, .created = time, .run_id = "run-1"});
  for (const EventBody& event : events) {
    const std::size_t begin = begin_record(out);
    encode_event(event, out);
    end_record(out, begin, kind_of(event).kind, kind_of(event).version, time);
  }
  return out;
}

inline std::vector<std::string> read_all(JournalReader& reader) {
  std::vector<std::string> out;
  while (const auto event = reader.next()) out.push_back(wire(event->body));
  return out;
}

inline JournalReader open_reader(const std::filesystem::path& events, ReaderOptions options = {}) {
  auto reader = JournalReader::open(events, options);
  REQUIRE(reader.ok());
  return std::move(*reader);
}

inline std::vector<std::string> wires(const std::vector<EventBody>& events) {
  std::vector<std::string> out;
  for (const EventBody& event : events) out.push_back(wire(event));
  return out;
}

}  // namespace trireme::test
