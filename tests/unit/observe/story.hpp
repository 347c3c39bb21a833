// Runs told in a few words, for the tests of what is made of events.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/events.hpp"
#include "observe/run_view.hpp"

namespace trireme::test {

constexpr WallTime second = 1'000'000'000;
constexpr WallTime begin = 1'700'000'000 * second;

/// Events one second apart, from `begin` on; each call of after() lets more time pass.
class Story {
 public:
  Story& add(EventBody body) {
    all_.push_back({now_, std::move(body)});
    view_.apply(all_.back());
    return *this;
  }
  Story& after(int seconds) {
    now_ += seconds * second;
    return *this;
  }
  WallTime now() const { return now_; }
  const observe::RunView& view() const { return view_; }
  const std::vector<Event>& all() const { return all_; }

  Story& start(std::uint32_t ranks = 1) {
    return add(events::RunStarted{"run-1", "flow", "0.1.0", "/flow.yaml", ranks, {"trials=2"}});
  }
  Story& node(Rank rank, const std::string& host, Resources resources) {
    return add(events::NodeJoined{rank, host, resources});
  }
  Story& submit(std::uint32_t index, const std::string& id, std::vector<std::string> after = {},
                std::vector<std::string> services = {}, std::uint32_t cores = 1) {
    const std::string name = id.substr(0, id.find('['));
    return add(events::TaskSubmitted{
        TaskIndex{index}, id, name, 1, {cores, 0, 0}, 0, 1, std::move(after), std::move(services), "./" + name});
  }
  Story& change(std::uint32_t index, TaskState state, const std::string& reason = "") {
    return add(events::TaskChanged{TaskIndex{index}, state, reason});
  }
  Story& run(std::uint32_t index, std::uint32_t attempt = 0, Rank rank = 0) {
    add(events::AttemptPlaced{{TaskIndex{index}, attempt}, rank, 1});
    return add(events::AttemptStarted{{TaskIndex{index}, attempt}, rank, 100, now_, {0}, {}});
  }
  Story& end(std::uint32_t index, std::uint32_t attempt = 0, int exit_code = 0, Rank rank = 0,
             const std::string& reason = "") {
    AttemptEnd how;
    how.outcome = exit_code == 0 ? Outcome::done : Outcome::failed;
    how.exit_code = exit_code;
    how.reason = reason;
    how.ended = now_;
    return add(events::AttemptEnded{{TaskIndex{index}, attempt}, rank, how});
  }
  Story& declare(std::uint32_t index, const std::string& name, std::uint32_t replicas, std::uint32_t cores = 1) {
    return add(events::ServiceDeclared{ServiceIndex{index}, name, replicas, {cores, 0, 0}, {}, 0});
  }
  Story& replica(ReplicaId id, ReplicaState state, Duration took = Duration(0), std::int32_t pid = 0,
                 const std::string& reason = "") {
    return add(
        events::ReplicaChanged{id, state, 0, pid, state == ReplicaState::ready ? "127.0.0.1:7" : "", reason, took});
  }

 private:
  WallTime now_ = begin;
  std::vector<Event> all_;
  observe::RunView view_;
};

}  // namespace trireme::test
