#include "runtime/dashboard_feed.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/defaults.hpp"

using namespace trireme;

namespace {

constexpr MonoTime second = 1'000'000'000;

struct Folder {
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "trireme-test-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string url() const {
    std::ifstream file(path / "dashboard.url");
    std::string line;
    std::getline(file, line);
    return line;
  }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("dashboard: the words hold the address and the ssh line, through the login node where there is one") {
  const DashboardPlace place{"node17", 8123};
  std::string words = dashboard_words(place, "abc", "you", "", "/r/dashboard.url");
  CHECK(words.find("http://127.0.0.1:8123/dashboard?key=abc") != std::string::npos);
  CHECK(words.find("ssh -N -L 8123:127.0.0.1:8123 you@node17") != std::string::npos);
  CHECK(words.find("/r/dashboard.url") != std::string::npos);
  words = dashboard_words(place, "abc", "you", "login3", "/r/dashboard.url");
  CHECK(words.find("ssh -N -L 8123:127.0.0.1:8123 -J you@login3 you@node17") != std::string::npos);
  words = dashboard_words(place, "abc", "you", "node17", "/r/dashboard.url");
  CHECK(words.find("-J") == std::string::npos);
}

TEST_CASE(
    "dashboard: the address is told once, its file holds the newest, for its owner alone, and goes with the run") {
  const Folder folder;
  std::vector<std::string> said;
  {
    DashboardFeed feed(folder.path, [&](const std::string& text) { said.push_back(text); });
    REQUIRE(feed.on_key({"here", 80}, "one").ok());
    CHECK(folder.url() == "http://127.0.0.1:80/dashboard?key=one");
    struct stat status {};
    REQUIRE(::stat((folder.path / "dashboard.url").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    REQUIRE(feed.on_key({"here", 80}, "two").ok());
    CHECK(folder.url() == "http://127.0.0.1:80/dashboard?key=two");
    CHECK(said.size() == 1);
  }
  CHECK_FALSE(std::filesystem::exists(folder.path / "dashboard.url"));
}

TEST_CASE("dashboard: snapshots are made once a second and only for somebody, the history once for who comes") {
  const Folder folder;
  const observe::RunView run;
  DashboardFeed feed(folder.path, {});
  MonoTime now = 1000 * second;
  CHECK_FALSE(feed.on_time(now, run));
  now += 2 * second;
  CHECK_FALSE(feed.on_time(now, run));
  CHECK(feed.next_deadline() == now + second);

  // Who comes waits for less than a second, and for not so little that many who come are a burden.
  feed.on_viewers(1, true, now);
  CHECK_FALSE(feed.on_time(now, run));
  now += Duration(defaults::dashboard_hurry).count();
  CHECK(feed.next_deadline() == now);
  auto news = feed.on_time(now, run);
  REQUIRE(news);
  CHECK_FALSE(news->history.empty());
  CHECK_FALSE(news->snapshot.empty());
  CHECK_FALSE(feed.on_time(now + 1, run));
  now += second;
  news = feed.on_time(now, run);
  REQUIRE(news);
  CHECK(news->history.empty());

  feed.on_viewers(0, false, now);
  now += second;
  CHECK_FALSE(feed.on_time(now, run));
  feed.on_viewers(1, true, now);
  const DashboardNews end = feed.finish(now + 1, run);
  CHECK(end.over);
  CHECK_FALSE(end.history.empty());
  CHECK_FALSE(end.snapshot.empty());
}
