#include <doctest/doctest.h>

#include <map>

#include "launch/pmi/job.hpp"

using namespace trireme;
using namespace trireme::pmi;

namespace {

/// A part of a job whose answers and exchanges are kept.
struct Part {
  explicit Part(std::uint32_t size, std::uint32_t first, std::uint32_t count, std::string mapping = "")
      : job({"kvs_1", size, first, count, std::move(mapping)},
            {[this](std::uint32_t rank, std::string line) { said[rank] += line; },
             [this](std::string given) { exchanges.push_back(std::move(given)); },
             [this](std::uint32_t rank, std::int32_t code) {
               aborted = {rank, code};
             }}) {}

  /// What the rank is answered.
  std::string ask(std::uint32_t rank, std::string_view line) {
    const auto taken = job.on_line(rank, line);
    CHECK_MESSAGE(taken.ok(), (taken.ok() ? "" : taken.error().text()));
    return std::exchange(said[rank], "");
  }

  std::map<std::uint32_t, std::string> said;
  std::vector<std::string> exchanges;
  std::pair<std::uint32_t, std::int32_t> aborted{99, 0};
  Job job;
};

}  // namespace

TEST_CASE("a rank is told all that it asks for at its start") {
  Part part(4, 2, 2, "(vector,(0,2,2))");
  CHECK(part.ask(2, "cmd=init pmi_version=1 pmi_subversion=1") ==
        "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
  CHECK(part.ask(2, "cmd=get_maxes") == "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024\n");
  CHECK(part.ask(2, "cmd=get_appnum") == "cmd=appnum appnum=0\n");
  CHECK(part.ask(2, "cmd=get_my_kvsname") == "cmd=my_kvsname kvsname=kvs_1\n");
  CHECK(part.ask(2, "cmd=get_universe_size") == "cmd=universe_size size=4\n");
  CHECK(part.ask(2, "cmd=get kvsname=kvs_1 key=PMI_process_mapping") ==
        "cmd=get_result rc=0 msg=success value=(vector,(0,2,2))\n");
}

TEST_CASE("what one node's rank puts is there for all after the barrier, and a barrier waits for all") {
  Part one(3, 0, 2);
  Part two(3, 2, 1);
  CHECK(one.ask(0, "cmd=put kvsname=kvs_1 key=address-0 value=tcp 10.0.0.1") == "cmd=put_result rc=0 msg=success\n");
  CHECK(two.ask(2, "cmd=get kvsname=kvs_1 key=address-0") ==
        "cmd=get_result rc=-1 msg=key_address-0_not_found value=unknown\n");
  CHECK(one.ask(0, "cmd=barrier_in") == "");
  CHECK(one.exchanges.empty());
  CHECK(two.ask(2, "cmd=barrier_in") == "");
  CHECK(one.ask(1, "cmd=barrier_in") == "");
  REQUIRE(one.exchanges.size() == 1);
  REQUIRE(two.exchanges.size() == 1);
  for (Part* part : {&one, &two}) part->job.on_gathered({one.exchanges[0], two.exchanges[0]});
  CHECK(one.said[0] == "cmd=barrier_out\n");
  CHECK(one.said[1] == "cmd=barrier_out\n");
  CHECK(std::exchange(two.said[2], "") == "cmd=barrier_out\n");
  CHECK(two.ask(2, "cmd=get kvsname=kvs_1 key=address-0") == "cmd=get_result rc=0 msg=success value=tcp 10.0.0.1\n");
  // What was given is not given again.
  for (std::uint32_t rank : {0, 1}) one.ask(rank, "cmd=barrier_in");
  REQUIRE(one.exchanges.size() == 2);
  CHECK(one.exchanges[1].size() < one.exchanges[0].size());
}

TEST_CASE("a rank that is gone is missed where others wait for it, and only there") {
  const auto init = "cmd=init pmi_version=1 pmi_subversion=1";
  Part unfinished(2, 0, 2);
  unfinished.ask(0, init);
  CHECK_FALSE(unfinished.job.attendance().missing());
  unfinished.job.on_left(0);
  REQUIRE(unfinished.job.attendance().missing());
  CHECK(unfinished.job.attendance().missing()->rank == 0);

  Part finished(1, 0, 1);
  finished.ask(0, init);
  CHECK(finished.ask(0, "cmd=finalize") == "cmd=finalize_ack\n");
  finished.job.on_left(0);
  CHECK_FALSE(finished.job.attendance().missing());

  Part absent(2, 0, 2);
  absent.job.on_left(1);
  CHECK_FALSE(absent.job.attendance().missing());  // perhaps no rank is an MPI program
  absent.ask(0, init);
  REQUIRE(absent.job.attendance().missing());
  CHECK(absent.job.attendance().missing()->rank == 1);
}

TEST_CASE("an abort is handed on with its code and gets no answer") {
  Part part(2, 0, 2);
  CHECK(part.ask(1, "cmd=abort exitcode=17") == "");
  CHECK(part.aborted == std::pair<std::uint32_t, std::int32_t>{1, 17});
}

TEST_CASE("spawn, publish and lookup are refused with an answer") {
  Part part(1, 0, 1);
  CHECK(part.ask(0, "mcmd=spawn") == "");
  CHECK(part.ask(0, "nprocs=4") == "");
  CHECK(part.ask(0, "execname=./child") == "");
  CHECK(part.ask(0, "endcmd").starts_with("cmd=spawn_result rc=-1"));
  CHECK(part.ask(0, "cmd=publish_name service=s port=p").starts_with("cmd=publish_result rc=-1"));
  CHECK(part.ask(0, "cmd=lookup_name service=s").starts_with("cmd=lookup_result rc=-1"));
}

TEST_CASE("what is no PMI-1 is an error that says what was heard") {
  Part part(1, 0, 1);
  for (const char* line : {"GET / HTTP/1.1", "", "cmd=fly", "=", "cmd"}) {
    const auto taken = part.job.on_line(0, line);
    CHECK_FALSE(taken.ok());
  }
  CHECK(part.job.on_line(0, "cmd=fly").error().text().find("cmd=fly") != std::string::npos);
  CHECK(part.ask(0, "cmd=put key=k value=" + std::string(2000, 'x')).starts_with("cmd=put_result rc=-1"));
}

TEST_CASE("the mapping names hosts, joins neighbours and is left out where it would be too long") {
  const auto own_host = [](Rank node) { return static_cast<std::uint32_t>(node); };
  CHECK(process_mapping({{0, 0, 2}, {1, 2, 2}, {2, 4, 1}}, own_host) == "(vector,(0,2,2),(2,1,1))");
  // A task on other hosts than the first: MPICH counts on numbers from 0 without gaps.
  CHECK(process_mapping({{1, 0, 2}}, own_host) == "(vector,(0,1,2))");
  CHECK(process_mapping({{5, 0, 1}, {2, 1, 1}, {7, 2, 2}}, own_host) == "(vector,(0,2,1),(2,1,2))");
  // Virtual nodes of one host are one host.
  CHECK(process_mapping({{0, 0, 2}, {1, 2, 1}}, [](Rank) { return 0u; }) == "(vector,(0,1,3))");
  std::vector<RankBlock> ragged;
  for (std::uint32_t i = 0; i < 500; ++i) ragged.push_back({static_cast<Rank>(i), i * 3, 1 + i % 2});
  CHECK(process_mapping(ragged, own_host).empty());
}
