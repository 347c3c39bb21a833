#include "node/staging.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "bench.hpp"
#include "node/file_worker.hpp"

using namespace trireme;
namespace fs = std::filesystem;
using test::read;
using test::write;

namespace {

struct Place {
  test::Folder root;
  fs::path task = root.path() / "task";
  fs::path data = root.path() / "data";
  std::stop_token go;
  Place() {
    fs::create_directories(task);
    fs::create_directories(data);
  }
  Status in(std::string from, std::string to, StagingMode mode) const {
    return stage_in(task, {{std::move(from), std::move(to), mode}}, go);
  }
  Status out(std::string from, std::string to, StagingMode mode = StagingMode::copy) const {
    return stage_out(task, {{std::move(from), std::move(to), mode}}, go);
  }
  /// All that is in a folder: half-made files would show.
  static std::vector<std::string> names(const fs::path& folder) {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
};

}  // namespace

TEST_CASE("a copied file has the contents and the mode, and its source stays") {
  Place place;
  write(place.data / "tool", "#!/bin/sh\n");
  fs::permissions(place.data / "tool", fs::perms::owner_all);
  REQUIRE(place.in((place.data / "tool").string(), "bin/tool", StagingMode::copy).ok());
  CHECK(read(place.task / "bin/tool") == "#!/bin/sh\n");
  CHECK((fs::status(place.task / "bin/tool").permissions() & fs::perms::mask) == fs::perms::owner_all);
  CHECK(fs::exists(place.data / "tool"));
  CHECK(Place::names(place.task / "bin") == std::vector<std::string>{"tool"});
}

TEST_CASE("without a name, or into a folder, a file keeps its own") {
  Place place;
  write(place.data / "x.txt", "x");
  const std::string from = (place.data / "x.txt").string();
  fs::create_directories(place.task / "there");
  REQUIRE(place.in(from, "", StagingMode::copy).ok());
  REQUIRE(place.in(from, "new/", StagingMode::copy).ok());
  REQUIRE(place.in(from, "there", StagingMode::broadcast).ok());
  CHECK(read(place.task / "x.txt") == "x");
  CHECK(read(place.task / "new/x.txt") == "x");
  CHECK(read(place.task / "there/x.txt") == "x");
}

TEST_CASE("a linked input leads to its source, also when two nodes link it") {
  Place place;
  write(place.data / "x", "x");
  for (int i = 0; i < 2; ++i) REQUIRE(place.in((place.data / "x").string(), "y", StagingMode::link).ok());
  CHECK(fs::read_symlink(place.task / "y") == place.data / "x");
}

TEST_CASE("a moved input is gone from where it was, and whoever comes second finds it in place") {
  Place place;
  write(place.data / "folder/x", "x");
  for (int i = 0; i < 2; ++i) REQUIRE(place.in((place.data / "folder").string(), "moved", StagingMode::move).ok());
  CHECK(read(place.task / "moved/x") == "x");
  CHECK(!fs::exists(place.data / "folder"));
}

TEST_CASE("a missing input is named") {
  Place place;
  const auto status = place.in("/nowhere/file", "x", StagingMode::copy);
  REQUIRE(!status.ok());
  CHECK(status.error().text() == "the input '/nowhere/file' is not there");
}

TEST_CASE("a folder is copied with all that is in it, links as links") {
  Place place;
  write(place.task / "out/a/b", "b");
  write(place.task / "out/c", "c");
  fs::create_symlink("c", place.task / "out/link");
  REQUIRE(place.out("out", (place.data / "results").string()).ok());
  CHECK(read(place.data / "results/a/b") == "b");
  CHECK(fs::read_symlink(place.data / "results/link") == "c");
  CHECK(Place::names(place.data) == std::vector<std::string>{"results"});

  // A later attempt replaces what an earlier one left and leaves the rest.
  write(place.task / "out/c", "new");
  write(place.data / "results/other", "other");
  REQUIRE(place.out("out", (place.data / "results").string()).ok());
  CHECK(read(place.data / "results/c") == "new");
  CHECK(read(place.data / "results/other") == "other");
}

TEST_CASE("a promised output that is missing keeps all others from being stored") {
  Place place;
  write(place.task / "a", "a");
  const auto status = stage_out(
      place.task, {{"a", (place.data / "a").string(), StagingMode::copy}, {"b", "", StagingMode::copy}}, place.go);
  REQUIRE(!status.ok());
  CHECK(status.error().text() == "the promised output 'b' is not there");
  CHECK(Place::names(place.data).empty());
}

TEST_CASE("an output without a place of its own only has to be there") {
  Place place;
  write(place.task / "a", "a");
  CHECK(place.out("a", "").ok());
  CHECK(place.out("a", "a").ok());
  CHECK(Place::names(place.task) == std::vector<std::string>{"a"});
}

TEST_CASE("outputs may be moved and linked") {
  Place place;
  write(place.task / "a", "a");
  write(place.task / "b", "b");
  REQUIRE(place.out("a", (place.data / "deep/a").string(), StagingMode::move).ok());
  REQUIRE(place.out("b", (place.data / "b").string(), StagingMode::link).ok());
  CHECK(!fs::exists(place.task / "a"));
  CHECK(read(place.data / "deep/a") == "a");
  CHECK(fs::is_symlink(place.data / "b"));
}

TEST_CASE("an empty file and one of many megabytes arrive whole") {
  Place place;
  std::string big(9u << 20, 'x');
  big[5000000] = 'y';
  write(place.data / "big", big);
  write(place.data / "empty", "");
  REQUIRE(place.in((place.data / "big").string(), "big", StagingMode::copy).ok());
  REQUIRE(place.in((place.data / "empty").string(), "empty", StagingMode::copy).ok());
  CHECK(read(place.task / "big") == big);
  CHECK(fs::file_size(place.task / "empty") == 0);
}

TEST_CASE("a file whose size the kernel does not tell is read to its end") {
  Place place;
  REQUIRE(place.in("/proc/version", "version", StagingMode::copy).ok());
  CHECK(read(place.task / "version") == read("/proc/version"));
}

TEST_CASE("a place that cannot be written to is named") {
  Place place;
  write(place.data / "x", "x");
  const auto status = place.out((place.data / "x").string(), "/proc/nothing/x");
  REQUIRE(!status.ok());
  CHECK(status.error().text().find("cannot make the folder '/proc/nothing'") == 0);
}

TEST_CASE("a pipe is refused instead of being waited for") {
  Place place;
  REQUIRE(::mkfifo((place.data / "pipe").c_str(), 0600) == 0);
  const auto status = place.in((place.data / "pipe").string(), "x", StagingMode::copy);
  REQUIRE(!status.ok());
  CHECK(status.error().text().find("is neither a file nor a folder") != std::string::npos);
}

TEST_CASE("work that is told to stop stops, and leaves no half file") {
  Place place;
  write(place.data / "x", std::string(1u << 20, 'x'));
  std::stop_source source;
  source.request_stop();
  const auto status = stage_in(place.task, {{(place.data / "x").string(), "x", StagingMode::copy}}, source.get_token());
  REQUIRE(!status.ok());
  CHECK(status.error().what == staging_stopped);
  CHECK(Place::names(place.task).empty());
}

TEST_CASE("a URL is fetched, and one that cannot be says why") {
  Place place;
  write(place.data / "x.txt", "fetched");
  REQUIRE(place.in("file://" + (place.data / "x.txt").string(), "", StagingMode::transfer).ok());
  CHECK(read(place.task / "x.txt") == "fetched");
  const auto missing = place.in("file:///nowhere/x", "y", StagingMode::transfer);
  REQUIRE(!missing.ok());
  CHECK(missing.error().text().find("cannot fetch file:///nowhere/x: ") == 0);
  const auto other = place.in("gopher://127.0.0.1/x", "y", StagingMode::transfer);
  CHECK(!other.ok());
  CHECK(Place::names(place.task) == std::vector<std::string>{"x.txt"});
}

TEST_CASE("file work is refused beyond its bound, and its completions run on the loop") {
  boost::asio::io_context loop;
  FileWorker worker(loop, 1, 1);
  std::mutex gate;
  gate.lock();
  std::atomic<bool> busy = false;
  int completed = 0;
  REQUIRE(worker.post(
      [&] {
        busy = true;
        const std::lock_guard wait(gate);
      },
      [&] { ++completed; }));
  while (!busy) std::this_thread::yield();
  REQUIRE(worker.run<int>([] { return 41; }, [&](int value) { completed += value; }));
  CHECK(!worker.post([] {}, [] {}));
  CHECK(completed == 0);
  gate.unlock();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (completed < 42 && std::chrono::steady_clock::now() < deadline) {
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(10));
  }
  CHECK(completed == 42);
}
