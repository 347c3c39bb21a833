// Services as the tests declare them, and an outbox that remembers.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "proxy/admission/messages.hpp"
#include "proxy/endpoints.hpp"

namespace trireme::proxy::test {

constexpr MonoTime ms = 1'000'000;
constexpr MonoTime second = 1000 * ms;
constexpr ServiceIndex llama{0};

inline ReplicaId replica(std::uint32_t number, std::uint32_t attempt = 0) {
  return {llama, number, attempt};
}

/// A service `llama` with one ready replica on each of `ranks`.
inline ServiceEndpoint service_on(const std::vector<Rank>& ranks, std::uint32_t concurrency = 1) {
  ServiceEndpoint endpoint;
  endpoint.index = llama;
  endpoint.name = "llama";
  endpoint.concurrency = concurrency;
  for (std::uint32_t i = 0; i < ranks.size(); ++i) {
    endpoint.replicas.push_back(
        {.id = replica(i), .rank = ranks[i], .state = ReplicaState::ready, .port = 0, .socket = {}, .key = {}});
  }
  return endpoint;
}

inline Service as_service(const ServiceEndpoint& endpoint) {
  EndpointTable table;
  table.apply({.number = 1, .changed = {endpoint}});
  return *table.find(endpoint.index);
}

struct Recorder final : AdmissionOutbox {
  std::vector<std::pair<Rank, AdmissionMessage>> sent;
  void send(Rank to, AdmissionMessage message) override { sent.emplace_back(to, std::move(message)); }

  /// Takes the oldest message, which must be a T for that rank.
  template <typename T>
  T take(Rank to) {
    REQUIRE_FALSE(sent.empty());
    const auto [rank, message] = sent.front();
    sent.erase(sent.begin());
    CHECK(rank == to);
    REQUIRE(std::holds_alternative<T>(message));
    return std::get<T>(message);
  }
  bool empty() const { return sent.empty(); }
};

}  // namespace trireme::proxy::test
