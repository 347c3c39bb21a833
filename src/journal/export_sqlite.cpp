#include "journal/export_sqlite.hpp"

#include <sqlite3.h>
#include <unistd.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <variant>

#include "journal/export_json.hpp"
#include "journal/names.hpp"

namespace trireme {
namespace {

// The tables other than `events` hold the last known state; times are seconds since the epoch, durations seconds.
constexpr const char* schema = R"(
CREATE TABLE events (seq INTEGER PRIMARY KEY, time REAL, event TEXT, json TEXT);
CREATE TABLE tasks (task TEXT PRIMARY KEY, name TEXT, state TEXT, reason TEXT, ranks INTEGER, cores_per_rank INTEGER,
  gpus_per_rank REAL, memory_per_rank INTEGER, priority INTEGER, retries INTEGER, command TEXT, submitted REAL,
  changed REAL);
CREATE TABLE dependencies (task TEXT, kind TEXT, needs TEXT);
CREATE TABLE attempts (task TEXT, attempt INTEGER, rank INTEGER, local_ranks INTEGER, pid INTEGER, cores INTEGER,
  gpus INTEGER, placed REAL, started REAL, ended REAL, outcome TEXT, exit_code INTEGER, signal INTEGER, reason TEXT,
  max_rss INTEGER, user_s REAL, system_s REAL, PRIMARY KEY (task, attempt, rank));
CREATE TABLE services (service TEXT PRIMARY KEY, replicas INTEGER, cores_per_replica INTEGER, gpus_per_replica REAL,
  memory_per_replica INTEGER, models TEXT, remotes INTEGER, ranks_per_replica INTEGER);
CREATE TABLE replicas (service TEXT, replica INTEGER, attempt INTEGER, rank INTEGER, pid INTEGER, state TEXT,
  endpoint TEXT, reason TEXT, started REAL, ready REAL, ended REAL, launch_s REAL, init_s REAL, publish_s REAL,
  PRIMARY KEY (service, replica, attempt));
CREATE TABLE replica_parts (service TEXT, replica INTEGER, attempt INTEGER, rank INTEGER, local_ranks INTEGER,
  PRIMARY KEY (service, replica, attempt, rank));
CREATE TABLE nodes (rank INTEGER PRIMARY KEY, host TEXT, cores INTEGER, gpus REAL, memory INTEGER, joined REAL,
  lost REAL, reason TEXT);
CREATE TABLE requests (time REAL, rank INTEGER, service TEXT, replica INTEGER, requests INTEGER, failed INTEGER,
  queued INTEGER, answered INTEGER, communication_s REAL, service_s REAL, inference_s REAL);
)";

/// A value for a statement.
using Value = std::variant<std::nullptr_t, std::int64_t, double, std::string>;

double as_gpus(MilliGpus gpus) {
  return static_cast<double>(gpus) / whole_gpu;
}
std::int64_t as_integer(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

/// SQLite behind three functions. The first error is kept, and what comes after it does nothing.
class Database {
 public:
  explicit Database(const std::filesystem::path& path) {
    sqlite3* raw = nullptr;
    check(sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr), raw);
    db_.reset(raw);
  }

  void run(const char* sql) {
    if (ok()) check(sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr), db_.get());
  }

  void run(const char* sql, std::initializer_list<Value> values) {
    if (!ok()) return;
    sqlite3_stmt* statement = prepare(sql);
    if (statement == nullptr) return;
    int at = 0;
    for (const Value& value : values) bind(statement, ++at, value);
    const int result = sqlite3_step(statement);
    if (result != SQLITE_DONE) check(result, db_.get());
    sqlite3_reset(statement);
  }

  /// Closes; the error is the first that there was.
  std::string close() {
    statements_.clear();
    db_.reset();
    return error_;
  }
  bool ok() const { return error_.empty(); }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  void check(int code, sqlite3* db) {
    if (code != SQLITE_OK && error_.empty()) {
      error_ = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    }
  }

  /// Statements are string literals: their address is their name.
  sqlite3_stmt* prepare(const char* sql) {
    auto& slot = statements_[sql];
    if (!slot) {
      sqlite3_stmt* raw = nullptr;
      check(sqlite3_prepare_v2(db_.get(), sql, -1, &raw, nullptr), db_.get());
      slot.reset(raw);
    }
    return slot.get();
  }

  void bind(sqlite3_stmt* statement, int at, const Value& value) {
    struct Bind {
      sqlite3_stmt* statement;
      int at;
      int operator()(std::nullptr_t) const { return sqlite3_bind_null(statement, at); }
      int operator()(std::int64_t v) const { return sqlite3_bind_int64(statement, at, v); }
      int operator()(double v) const { return sqlite3_bind_double(statement, at, v); }
      int operator()(const std::string& v) const {
        return sqlite3_bind_text64(statement, at, v.data(), v.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
      }
    };
    check(std::visit(Bind{statement, at}, value), db_.get());
  }

  std::unique_ptr<sqlite3, Close> db_;
  std::unordered_map<const char*, std::unique_ptr<sqlite3_stmt, Close>> statements_;
  std::string error_;
};

/// Brings the tables up to date with one event.
struct Fold {
  Database& db;
  const EventNames& names;
  double time;

  void operator()(const events::RunStarted&) const {}
  void operator()(const events::NodeJoined& event) const {
    db.run("INSERT OR REPLACE INTO nodes VALUES (?,?,?,?,?,?,NULL,NULL)",
           {std::int64_t{event.rank}, event.host, std::int64_t{event.resources.cores}, as_gpus(event.resources.gpus),
            as_integer(event.resources.memory), time});
  }
  void operator()(const events::NodeLost& event) const {
    db.run("UPDATE nodes SET lost = ?, reason = ? WHERE rank = ?", {time, event.reason, std::int64_t{event.rank}});
  }
  void operator()(const events::TaskSubmitted& event) const {
    db.run("INSERT OR REPLACE INTO tasks VALUES (?,?,'waiting','',?,?,?,?,?,?,?,?,?)",
           {event.id, event.name, std::int64_t{event.ranks}, std::int64_t{event.per_rank.cores},
            as_gpus(event.per_rank.gpus), as_integer(event.per_rank.memory), std::int64_t{event.priority},
            std::int64_t{event.retries}, event.command, time, time});
    db.run("DELETE FROM dependencies WHERE task = ?", {event.id});
    const auto add = [&](const char* kind, const std::vector<std::string>& needs) {
      for (const std::string& one : needs) {
        db.run("INSERT INTO dependencies VALUES (?,?,?)", {event.id, std::string(kind), one});
      }
    };
    add("task", event.after);
    add("service", event.services);
  }
  void operator()(const events::TaskChanged& event) const { set_state(event.task, event.state, event.reason); }
  void operator()(const events::AttemptPlaced& event) const {
    db.run(
        "INSERT INTO attempts (task, attempt, rank, local_ranks, placed) VALUES (?,?,?,?,?) "
        "ON CONFLICT DO UPDATE SET local_ranks = excluded.local_ranks, placed = excluded.placed",
        {names.task(event.attempt.task), std::int64_t{event.attempt.attempt}, std::int64_t{event.rank},
         std::int64_t{event.local_ranks}, time});
  }
  void operator()(const events::AttemptStarted& event) const {
    set_state(event.attempt.task, TaskState::running, "");
    db.run(
        "INSERT INTO attempts (task, attempt, rank, pid, cores, gpus, started) VALUES "
        "(?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET pid = excluded.pid, cores = excluded.cores, "
        "gpus = excluded.gpus, started = excluded.started",
        {names.task(event.attempt.task), std::int64_t{event.attempt.attempt}, std::int64_t{event.rank},
         std::int64_t{event.pid}, as_integer(event.cores.size()), as_integer(event.gpus.size()),
         epoch_seconds(event.started)});
  }
  void operator()(const events::AttemptEnded& event) const {
    const AttemptEnd& end = event.end;
    db.run(
        "INSERT INTO attempts (task, attempt, rank, started, ended, outcome, exit_code, signal, "
        "reason, max_rss, user_s, system_s) VALUES (?,?,?,nullif(?, 0.0),nullif(?, 0.0),?,?,?,?,?,?,?) "
        "ON CONFLICT DO UPDATE SET started = coalesce(started, excluded.started), ended = excluded.ended, "
        "outcome = excluded.outcome, exit_code = excluded.exit_code, signal = excluded.signal, "
        "reason = excluded.reason, max_rss = excluded.max_rss, user_s = excluded.user_s, "
        "system_s = excluded.system_s",
        {names.task(event.attempt.task), std::int64_t{event.attempt.attempt}, std::int64_t{event.rank},
         epoch_seconds(end.started), epoch_seconds(end.ended), std::string(to_string(end.outcome)),
         std::int64_t{end.exit_code}, std::int64_t{end.signal}, end.reason, as_integer(end.usage.max_rss),
         seconds(end.usage.user), seconds(end.usage.system)});
  }
  void operator()(const events::ServiceDeclared& event) const {
    std::string models;
    for (const std::string& model : event.models) models += (models.empty() ? "" : " ") + model;
    db.run("INSERT OR REPLACE INTO services VALUES (?,?,?,?,?,?,?,?)",
           {event.name, std::int64_t{event.replicas}, std::int64_t{event.per_replica.cores},
            as_gpus(event.per_replica.gpus), as_integer(event.per_replica.memory), models, std::int64_t{event.remotes},
            std::int64_t{std::max(event.ranks, 1u)}});
  }
  void operator()(const events::ReplicaChanged& event) const {
    const bool spawned = event.state == ReplicaState::starting && event.pid != 0;
    const bool ready = event.state == ReplicaState::ready;
    const bool over = event.state == ReplicaState::ended || event.state == ReplicaState::failed;
    const Value none = nullptr;
    db.run(
        "INSERT INTO replicas (service, replica, attempt, rank, pid, state, endpoint, reason, started, ready, "
        "ended, launch_s, init_s) VALUES (?,?,?,?,nullif(?, 0),?,nullif(?, ''),nullif(?, ''),?,?,?,?,?) "
        "ON CONFLICT DO UPDATE SET state = excluded.state, rank = coalesce(excluded.rank, rank), "
        "pid = coalesce(excluded.pid, pid), endpoint = coalesce(excluded.endpoint, endpoint), "
        "reason = coalesce(excluded.reason, reason), started = coalesce(started, excluded.started), "
        "ready = coalesce(ready, excluded.ready), ended = coalesce(excluded.ended, ended), "
        "launch_s = coalesce(launch_s, excluded.launch_s), init_s = coalesce(init_s, excluded.init_s)",
        {names.service(event.replica.service), std::int64_t{event.replica.replica}, std::int64_t{event.replica.attempt},
         event.rank >= 0 ? Value(std::int64_t{event.rank}) : none, std::int64_t{event.pid},
         std::string(to_string(event.state)), event.endpoint, event.reason,
         event.state == ReplicaState::starting ? Value(time) : none, ready ? Value(time) : none,
         over ? Value(time) : none, spawned ? Value(seconds(event.took)) : none,
         ready ? Value(seconds(event.took)) : none});
    for (const events::PlacedRanks& part : event.parts) {
      db.run("INSERT OR REPLACE INTO replica_parts VALUES (?,?,?,?,?)",
             {names.service(event.replica.service), std::int64_t{event.replica.replica},
              std::int64_t{event.replica.attempt}, std::int64_t{part.rank}, std::int64_t{part.local_ranks}});
    }
  }
  void operator()(const events::EpochPublished& event) const {
    for (const ReplicaId& replica : event.ready) {
      db.run("UPDATE replicas SET publish_s = ? WHERE service = ? AND replica = ? AND attempt = ?",
             {seconds(event.took), names.service(replica.service), std::int64_t{replica.replica},
              std::int64_t{replica.attempt}});
    }
  }
  void operator()(const events::RequestsCounted& event) const {
    const ServiceSample& sample = event.sample;
    const std::string service = names.service(sample.service);
    const ResponseTimes& response = sample.response;
    const auto mean = [](const Times& times) {
      const auto took = times.mean();
      return took ? Value(seconds(*took)) : Value(nullptr);
    };
    db.run("INSERT INTO requests VALUES (?,?,?,NULL,?,?,?,?,?,?,?)",
           {time, std::int64_t{event.rank}, service, as_integer(sample.requests), as_integer(sample.failed),
            std::int64_t{sample.queued}, as_integer(response.inference.histogram.count()), mean(response.communication),
            mean(response.service), mean(response.inference)});
    for (const ServiceSample::PerReplica& one : sample.replicas) {
      db.run("INSERT INTO requests (time, rank, service, replica, requests, failed) VALUES (?,?,?,?,?,?)",
             {time, std::int64_t{event.rank}, service, std::int64_t{one.replica}, as_integer(one.requests),
              as_integer(one.failed)});
    }
  }
  void operator()(const events::Warning&) const {}
  void operator()(const events::RunDraining&) const {}
  void operator()(const events::RunEnded&) const {}
  void operator()(const events::WorkflowGrew&) const {}

  void set_state(TaskIndex task, TaskState state, const std::string& reason) const {
    db.run("UPDATE tasks SET state = ?, reason = ?, changed = ? WHERE task = ?",
           {std::string(to_string(state)), reason, time, names.task(task)});
  }
};

Error export_error(const std::string& what, const std::filesystem::path& path) {
  return {"cannot write the database: " + what, path.string(), "", ExitCode::runtime_failed};
}

}  // namespace

Result<std::uint64_t> export_sqlite(JournalReader& reader, const std::filesystem::path& path) {
  std::filesystem::path part = path;
  part += ".part" + std::to_string(::getpid());
  std::error_code removed;
  std::filesystem::remove(part, removed);

  Database db(part);
  // The file is thrown away if anything fails, so it needs no journal of its own.
  db.run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;");
  db.run(schema);
  EventNames names;
  JsonLines json;
  std::int64_t count = 0;
  while (const auto event = reader.next()) {
    if (!db.ok()) break;
    names.learn(event->body);
    const double time = epoch_seconds(event->time);
    db.run("INSERT INTO events VALUES (?,?,?,?)",
           {++count, time, std::string(kind_name(event->body)), json.line(*event)});
    std::visit(Fold{db, names, time}, event->body);
  }
  db.run("COMMIT");
  if (const std::string error = db.close(); !error.empty()) {
    std::filesystem::remove(part, removed);
    return export_error(error, path);
  }
  std::error_code renamed;
  std::filesystem::rename(part, path, renamed);
  if (renamed) {
    std::filesystem::remove(part, removed);
    return export_error(renamed.message(), path);
  }
  return static_cast<std::uint64_t>(count);
}

}  // namespace trireme
