#include "node/file_worker.hpp"

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <future>
#include <thread>

using namespace trireme;
using namespace std::chrono_literals;

TEST_CASE("a job that hangs does not hang the end, and its completion never comes") {
  boost::asio::io_context loop;
  std::promise<void> end_of_hang;
  auto hang = std::make_shared<std::shared_future<void>>(end_of_hang.get_future());
  bool completed = false;
  {
    FileWorker files(loop, 2, 8, 1ms);
    std::promise<void> begun;
    REQUIRE(files.post(
        [hang, &begun] {
          begun.set_value();
          hang->wait();
        },
        [&] { completed = true; }));
    begun.get_future().wait();
  }
  end_of_hang.set_value();
  while (hang.use_count() > 1) std::this_thread::yield();
  loop.run();
  CHECK(!completed);
}

TEST_CASE("jobs in progress end before the destructor is over") {
  boost::asio::io_context loop;
  auto done = std::make_shared<bool>(false);
  {
    std::promise<void> begun;
    FileWorker files(loop, 1, 8, 1h);
    REQUIRE(files.post(
        [done, &begun] {
          begun.set_value();
          std::this_thread::sleep_for(20ms);
          *done = true;
        },
        [] {}));
    begun.get_future().wait();
  }
  CHECK(*done);
}

TEST_CASE("what tidies up is done before the destructor is over, and leaves room for others") {
  boost::asio::io_context loop;
  auto tidied = std::make_shared<int>(0);
  {
    std::promise<void> begun;
    std::promise<void> go;
    auto wait = go.get_future();
    FileWorker files(loop, 1, 8, 1h);  // its destructor waits for what uses the above
    REQUIRE(files.post(
        [&] {
          begun.set_value();
          wait.wait();
        },
        [] {}));
    begun.get_future().wait();
    for (int i = 0; i < 4; ++i) CHECK(files.tidy([tidied] { ++*tidied; }));
    CHECK_FALSE(files.tidy([tidied] { ++*tidied; }));
    CHECK(files.post([] {}, [] {}));
    go.set_value();
  }
  CHECK(*tidied == 4);
}
