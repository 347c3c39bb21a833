// The native protocol through the proxy where bytes go through memory that the ends share.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <vector>

#include "stage.hpp"

using namespace trireme;
using namespace trireme::proxy;
using namespace trireme::proxy::test;

TEST_CASE(
    "native: between ends that can, bytes go through memory, more at a time than it holds, on this rank and to "
    "another") {
  for (const Rank where : {0, 1}) {
    CAPTURE(where);
    Stage stage(where);
    End client(stage.dial());
    client.write(Stage::hello_of(native::version));
    CHECK(native::read_welcome(client.expect(Type::welcome).payload)->version == native::version);
    client.use_memory();
    const std::string question(3 * frames::Rings::size, 'q');
    auto asked = std::async(std::launch::async, [&] {
      client.write(request(1, "/services/llama/", question) + request(2, "/services/llama/", "short"));
    });
    End replica(stage.accept());
    Stage::greet_with_memory(replica);
    std::map<std::string, std::uint64_t> ids;
    std::map<std::uint64_t, std::string> bodies;
    while (ids.size() < 2) {
      const auto got = replica.next();
      REQUIRE(got);
      if (got->type == Type::request) {
        bodies[got->id] = native::read_request(got->payload)->body;
      } else if (got->type == Type::data) {
        bodies[got->id] += got->payload;
      }
      if (got->end) ids[bodies[got->id]] = got->id;
    }
    asked.get();
    REQUIRE(ids.contains(question));
    REQUIRE(ids.contains("short"));
    auto answered = std::async(std::launch::async, [&] {
      replica.write(answer(ids["short"], "soon") + answer(ids[question], std::string(3 * frames::Rings::size, 'a')));
    });
    std::map<std::uint64_t, std::string> answers;
    for (int ended = 0; ended < 2;) {
      const auto got = client.next();
      REQUIRE(got);
      if (got->type == Type::response) {
        answers[got->id] = native::read_response(got->payload)->body;
      } else if (got->type == Type::data) {
        answers[got->id] += got->payload;
      }
      ended += got->end ? 1 : 0;
    }
    answered.get();
    CHECK(answers[1] == std::string(3 * frames::Rings::size, 'a'));
    CHECK(answers[2] == "soon");
  }
}

TEST_CASE("native: a client with memory that goes away is noticed, and its request cancelled") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello_of(native::version));
  client.expect(Type::welcome);
  client.use_memory();
  client.write(request(1, "/services/llama/", "x"));
  End replica(stage.accept());
  Stage::greet_with_memory(replica);
  const Got got = replica.expect(Type::request);
  client.close();
  CHECK(replica.expect(Type::cancel).id == got.id);
}

TEST_CASE("native: a replica with memory that dies leaves its request to another attempt") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello_of(native::version));
  client.expect(Type::welcome);
  client.use_memory();
  client.write(request(1, "/services/llama/", "x"));
  {
    End replica(stage.accept());
    Stage::greet_with_memory(replica);
    replica.expect(Type::request);
  }
  const Got got = client.expect(Type::response);
  CHECK(native::read_response(got.payload)->head.status == 502);
}

TEST_CASE("native: who scribbles in the memory loses its connection, and nobody else") {
  Stage stage(0);
  End good(stage.dial());
  good.write(Stage::hello_of(native::version));
  good.expect(Type::welcome);
  good.use_memory();
  for (const std::uint64_t said : {std::uint64_t{frames::Rings::size + 1}, ~std::uint64_t{0}}) {
    CAPTURE(said);
    const int socket = stage.dial();
    End bad(socket);
    bad.write(Stage::hello_of(native::version));
    bad.expect(Type::welcome);
    void* const memory = ::mmap(nullptr, sizeof(frames::RingHead), PROT_READ | PROT_WRITE, MAP_SHARED, bad.passed(), 0);
    REQUIRE(memory != MAP_FAILED);
    static_cast<frames::RingHead*>(memory)->written = said;
    bad.write("!");  // the bell
    CHECK_FALSE(bad.next());
    ::munmap(memory, sizeof(frames::RingHead));
  }
  good.write(request(1, "/services/nobody/", ""));
  CHECK(native::read_response(good.expect(Type::response).payload)->head.status == 404);
}

TEST_CASE("native: a replica that promises memory and passes none loses its connection") {
  Stage stage(0);
  End client(stage.dial());
  client.write(Stage::hello(request(1, "/services/llama/", "x")));
  client.expect(Type::welcome);
  End replica(stage.accept());
  replica.expect_preface();
  replica.expect(Type::hello);
  replica.write(Stage::welcome_of(native::version));  // without a descriptor
  CHECK_FALSE(replica.next());
}

TEST_CASE("native: memory is given to so many clients at a time, and to another once one of them has gone") {
  Stage stage(0);
  const auto come = [&](std::uint16_t version) {
    auto client = std::make_unique<End>(stage.dial());
    client->write(Stage::hello_of(native::version));
    CHECK(native::read_welcome(client->expect(Type::welcome).payload)->version == version);
    if (version == native::version) client->use_memory();
    return client;
  };
  std::vector<std::unique_ptr<End>> clients;
  while (clients.size() < defaults::native_memories) clients.push_back(come(native::version));
  const auto without = come(native::first_version);
  without->write(request(1, "/services/nobody/", ""));
  CHECK(native::read_response(without->expect(Type::response).payload)->head.status == 404);
  clients.pop_back();
  without->write(request(2, "/services/nobody/", ""));
  without->expect(Type::response);  // edges are served in their order: the proxy has seen that the other is gone
  come(native::version);
}
