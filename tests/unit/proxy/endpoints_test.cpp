#include "proxy/endpoints.hpp"

#include "support.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

TEST_CASE("endpoints: an epoch replaces what it names, twice is once, and an older one is ignored") {
  EndpointTable table;
  CHECK(table.find("llama") == nullptr);
  CHECK(table.apply({.number = 3, .changed = {service_on({0, 1})}}));
  CHECK(table.apply({.number = 3, .changed = {service_on({0, 1})}}));
  REQUIRE(table.find("llama") != nullptr);
  CHECK(table.find("llama")->sites.size() == 2);
  CHECK_FALSE(table.apply({.number = 2, .changed = {service_on({})}}));
  CHECK(table.find(llama)->sites.size() == 2);
  CHECK(table.epoch() == 3);
  CHECK(table.apply({.number = 4, .changed = {}}));
  CHECK(table.find(llama)->sites.size() == 2);
}

TEST_CASE("endpoints: remote ones are sites of the home rank beside the replicas") {
  ServiceEndpoint endpoint = service_on({1}, 4);
  endpoint.home = 2;
  endpoint.remote.push_back({});
  endpoint.remote[0].url = "https://models.example";
  endpoint.remote[0].concurrency = 7;
  EndpointTable table;
  table.apply({.number = 1, .changed = {endpoint}});
  const Service& service = *table.find("llama");
  REQUIRE(service.sites.size() == 2);
  const Site& remote = service.sites[1];
  CHECK(is_remote(remote.id));
  CHECK(remote.owner == 2);
  CHECK(remote.concurrency == 7);
  CHECK(remote.ready);
  CHECK(table.find_remote(remote.id)->url == "https://models.example");
  CHECK(table.find_replica(remote.id) == nullptr);
  CHECK(table.find_replica(replica(0))->rank == 1);
  CHECK(table.name(remote.id) == "llama/remote-0");
  CHECK(table.name(replica(0, 2)) == "llama/0@2");
}

TEST_CASE("endpoints: a service is dead when nothing answers for it and nothing will") {
  ServiceEndpoint endpoint = service_on({});
  CHECK_FALSE(as_service(endpoint).dead());
  endpoint.dead = true;
  CHECK(as_service(endpoint).dead());
  endpoint.remote.push_back({});
  CHECK_FALSE(as_service(endpoint).dead());
}
