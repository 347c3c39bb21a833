#include "fabric/serialize.hpp"

#include <doctest/doctest.h>

#include <cereal/archives/binary.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "core/endpoint.hpp"
#include "core/messages.hpp"

using namespace trireme;
using namespace std::chrono_literals;

namespace {

TaskDescription some_task() {
  TaskDescription task;
  task.id = "train[seed=1]";
  task.command = {Template::literal("echo"), Template::literal("{x}")};
  task.env["OMP_NUM_THREADS"] = Template::literal("1");
  task.after = {"prepare"};
  task.inputs = {{.from = Template::literal("a"), .to = Template::literal("b"), .mode = StagingMode::link}};
  task.timeout = 2h;
  task.per_rank = {.cores = 4, .gpus = 250, .memory = 1u << 30};
  return task;
}

ServiceDescription some_service() {
  ServiceDescription service;
  service.name = "llama";
  service.live = Liveness{.every = 10s};
  service.models = {{.name = "m", .upstream = "n"}};
  service.remote = {{.url = "https://example.org/v1"}};
  return service;
}

std::vector<ToAgent> to_agent() {
  return {
      StartTask{
          .id = {.task = {7}, .attempt = 1}, .first_rank = 2, .task = some_task(), .layout = {{3, 0, 2}, {1, 2, 1}}},
      CancelTask{.id = {.task = {7}}, .reason = "timeout"},
      StartReplica{.service = some_service()},
      StopReplica{},
      ShutdownAgent{},
      RecallTasks{{{.task = {7}}, {.task = {8}, .attempt = 1}}}};
}

std::vector<FromAgent> from_agent() {
  return {NodeJoined{.host = "n1", .warnings = {"a", "b"}},
          TaskStarted{.pid = 12, .time = -5, .cores = {1, 2, 3}, .launch = "pmix"},
          TaskEnded{.end = {.outcome = Outcome::failed, .exit_code = 127, .reason = "not found"}},
          ReplicaStarted{},
          ReplicaReady{.endpoint = {.rank = 3, .state = ReplicaState::ready, .socket = "/s"}},
          ReplicaEnded{.was_ready = true},
          ServiceSample{.requests = 5, .replicas = {{.replica = 1, .requests = 4}}},
          AgentDone{},
          TasksReturned{{{.task = {7}, .attempt = 2}}}};
}

EndpointEpoch some_epoch() {
  EndpointEpoch epoch{.number = 9};
  epoch.changed.resize(2);
  epoch.changed[0].name = "llama";
  epoch.changed[0].replicas.resize(3);
  epoch.changed[1].dead = true;
  return epoch;
}

/// Comes back the same; fails at every shorter length and with one byte more.
template <typename T>
void check_both_ways(const T& message) {
  const std::string bytes = encode(message);
  const auto back = decode<T>(bytes);
  REQUIRE_MESSAGE(back.ok(), (back ? "" : back.error().text()));
  CHECK(*back == message);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CHECK_FALSE(decode<T>(std::string_view(bytes).substr(0, length)).ok());
  }
  CHECK_FALSE(decode<T>(bytes + '\0').ok());
}

/// Whatever the bytes are, decoding ends, in little memory, with a value or an error.
template <typename T>
void check_against_damage(const std::vector<T>& messages) {
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = encode(messages[random() % messages.size()]);
    for (auto changes = 1 + random() % 4; changes > 0 && !bytes.empty(); --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (!decode<T>(bytes).ok()) ++refused;
    std::string noise(random() % 100, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    if (!decode<T>(noise).ok()) ++refused;
  }
  CHECK(refused > 4000);
}

}  // namespace

TEST_CASE("messages between pilot and agents come back as they were") {
  for (const ToAgent& message : to_agent()) check_both_ways(message);
  for (const FromAgent& message : from_agent()) check_both_ways(message);
}

TEST_CASE("messages are in cereal's binary format") {
  const auto check = [](const auto& messages) {
    for (const auto& message : messages) {
      std::ostringstream bytes;
      cereal::BinaryOutputArchive{bytes}(message);
      CHECK(encode(message) == bytes.str());
    }
  };
  check(to_agent());
  check(from_agent());
  check(std::vector{some_epoch()});
  check(std::vector<FromAgent>{NodeJoined{.host = std::string(1000, 'n'), .warnings = {std::string(256, 'w'), ""}}});
}

TEST_CASE("several messages in one come back in their order") {
  std::string bytes;
  for (const FromAgent& message : from_agent()) append(bytes, message);
  std::vector<FromAgent> back;
  const std::function<void(FromAgent)> take = [&](FromAgent message) { back.push_back(std::move(message)); };
  const Status read = decode_each(bytes, take);
  REQUIRE_MESSAGE(read.ok(), (read ? "" : read.error().text()));
  CHECK(back == from_agent());
  CHECK(decode_each(std::string_view(), take).ok());
  CHECK_FALSE(decode_each(std::string_view(bytes).substr(0, bytes.size() - 1), take).ok());
}

TEST_CASE("endpoint epochs come back as they were") {
  check_both_ways(some_epoch());
}

TEST_CASE("damaged messages are refused and do no harm") {
  check_against_damage(to_agent());
  check_against_damage(from_agent());
  check_against_damage(std::vector{some_epoch()});
}

TEST_CASE("a size beyond the message is refused before anything is allocated for it") {
  std::string bytes = encode(EndpointEpoch{.number = 1});
  for (std::size_t i = 8; i < 16; ++i) bytes[i] = '\x7f';  // the number of services that follow
  const auto epoch = decode<EndpointEpoch>(bytes);
  REQUIRE_FALSE(epoch.ok());
  CHECK(epoch.error().what.find("beyond the end") != std::string::npos);
}
