#include <sqlite3.h>

#include <nlohmann/json.hpp>

#include "journal/export_json.hpp"
#include "journal/export_sqlite.hpp"
#include "support.hpp"

namespace trireme {
namespace {

using namespace test;

/// The first column of the first row that a query yields; fails the test where there is none.
std::string query(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  REQUIRE(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_step(statement) == SQLITE_ROW);
  const unsigned char* text = sqlite3_column_text(statement, 0);
  std::string out = text != nullptr ? reinterpret_cast<const char*>(text) : "NULL";
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return out;
}

TEST_CASE("every event is one line of JSON with names instead of indexes") {
  JsonLines lines;
  std::vector<nlohmann::json> all;
  std::vector<EventBody> events = sample_events();
  // Services are declared before anything is said of them.
  std::swap(events[0], events[8]);
  for (const EventBody& event : events) {
    const std::string line = lines.line({1'700'000'000'250'000'000, event});
    CHECK(line.find('\n') == std::string::npos);
    all.push_back(nlohmann::json::parse(line));
    CHECK(all.back()["time"] == 1'700'000'000.25);
    CHECK(all.back()["event"] == kind_name(event));
  }
  CHECK(all[4]["task"] == "train[seed=1]");
  CHECK(all[4]["state"] == "failed");
  CHECK(all[3]["gpus_per_rank"] == 0.25);
  CHECK(all[3]["after"] == nlohmann::json{"prepare", "fetch"});
  CHECK(all[7]["outcome"] == "failed");
  CHECK(all[7]["user_s"] == 1.5);
  CHECK(all[9]["service"] == "llama");
  CHECK(all[9]["took_s"] == 2.5);
  CHECK(all[10]["ready"][0]["service"] == "llama");
  CHECK(all[11]["replicas"][0]["requests"] == 98);
  CHECK(all[14]["exit_code"] == 75);
}

TEST_CASE("bytes that are no UTF-8 do not break the JSON") {
  JsonLines lines;
  const std::string line = lines.line({1, events::Warning{"bad \xFF byte\nand a line"}});
  CHECK(nlohmann::json::parse(line)["event"] == "warning");
}

TEST_CASE("a name that the log did not tell is a number") {
  JsonLines lines;
  const auto json = nlohmann::json::parse(lines.line({1, events::TaskChanged{TaskIndex{7}}}));
  CHECK(json["task"] == "#7");
}

TEST_CASE("the database answers what people ask of a run") {
  const TemporaryFolder folder;
  const TaskIndex task{0};
  const ServiceIndex service{0};
  AttemptEnd end;
  end.outcome = Outcome::failed;
  end.exit_code = 3;
  end.started = 2'000'000'000;
  end.ended = 4'500'000'000;
  AttemptEnd good;
  good.started = 5'000'000'000;
  good.ended = 6'000'000'000;
  ServiceSample counted{service, 10, 1, 0, {{0, 9, 0}}};
  for (const int milliseconds : {200, 300}) {
    counted.response.inference.add(std::chrono::milliseconds(milliseconds));
    counted.response.communication.add(std::chrono::microseconds(500));
  }
  const std::vector<EventBody> events{
      events::RunStarted{"run-1", "flow", "0.1.0", "", 1, {}},
      events::NodeJoined{0, "n000", {4, 500, 0}},
      events::ServiceDeclared{service, "llama", 1, {1, 0, 0}, {"m"}, 0},
      events::TaskSubmitted{task, "it's", "it's", 1, {1, 0, 0}, 0, 1, {}, {"llama"}, "true"},
      events::ReplicaChanged{{service, 0, 0}, ReplicaState::starting, 0, 0, "", "", Duration(0)},
      events::ReplicaChanged{{service, 0, 0}, ReplicaState::starting, 0, 77, "", "", Duration(5'000'000)},
      events::ReplicaChanged{{service, 0, 0}, ReplicaState::ready, 0, 77, "127.0.0.1:1", "", Duration(250'000'000)},
      events::EpochPublished{1, Duration(1'000'000), {{service, 0, 0}}},
      events::AttemptPlaced{{task, 0}, 0, 1},
      events::AttemptStarted{{task, 0}, 0, 99, 2'000'000'000, {1}, {}},
      events::AttemptEnded{{task, 0}, 0, end},
      events::AttemptPlaced{{task, 1}, 0, 1},
      events::AttemptEnded{{task, 1}, 0, good},
      events::TaskChanged{task, TaskState::done, ""},
      events::RequestsCounted{0, counted},
      events::RunEnded{RunState::done, 0, ""}};
  write_file(folder.path() / "events" / segment_name(0), segment_of(events));
  const auto path = folder.path() / "run.db";
  write_file(path, "what was there before");
  JournalReader reader = open_reader(folder.path() / "events");
  const auto count = export_sqlite(reader, path);
  REQUIRE(count.ok());
  CHECK(*count == events.size());

  CHECK(query(path, "SELECT count(*) FROM events") == std::to_string(events.size()));
  CHECK(query(path, "SELECT state FROM tasks WHERE task = 'it''s'") == "done");
  CHECK(query(path, "SELECT needs FROM dependencies WHERE kind = 'service'") == "llama");
  CHECK(query(path, "SELECT group_concat(outcome) FROM (SELECT outcome FROM attempts ORDER BY attempt)") ==
        "failed,done");
  CHECK(query(path, "SELECT ended - started FROM attempts WHERE attempt = 0") == "2.5");
  CHECK(query(path, "SELECT pid FROM attempts WHERE attempt = 0") == "99");
  CHECK(query(path, "SELECT launch_s || ' ' || init_s || ' ' || publish_s FROM replicas") == "0.005 0.25 0.001");
  CHECK(query(path, "SELECT endpoint FROM replicas") == "127.0.0.1:1");
  CHECK(query(path, "SELECT gpus FROM nodes WHERE host = 'n000'") == "0.5");
  CHECK(query(path, "SELECT requests FROM requests WHERE replica IS NULL") == "10");
  CHECK(query(path, "SELECT requests FROM requests WHERE replica = 0") == "9");
  CHECK(query(path,
              "SELECT answered || ' ' || communication_s || ' ' || inference_s FROM requests WHERE replica IS NULL") ==
        "2 0.0005 0.25");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE("a database that cannot be written is an error and leaves nothing behind") {
  const TemporaryFolder folder;
  write_file(folder.path() / "events" / segment_name(0), segment_of(sample_events()));
  JournalReader reader = open_reader(folder.path() / "events");
  const auto count = export_sqlite(reader, folder.path() / "missing" / "run.db");
  REQUIRE_FALSE(count.ok());
  CHECK(count.error().text().find("run.db") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "missing"));
}

}  // namespace
}  // namespace trireme
