#include "runtime/request_folder.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

using namespace trireme;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "trireme-requests-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
  std::string path;
};

}  // namespace

TEST_CASE("requests are taken once, in the order in which they were left") {
  Folder folder;
  REQUIRE(leave_request(folder.path, {RunRequest::Kind::drain, "first"}));
  REQUIRE(leave_request(folder.path, {RunRequest::Kind::kill, "second"}));
  std::vector<std::string> rejected;
  const auto taken = take_requests(folder.path, rejected);
  REQUIRE(taken.size() == 2);
  CHECK(taken[0].kind == RunRequest::Kind::drain);
  CHECK(taken[0].reason == "first");
  CHECK(taken[1].kind == RunRequest::Kind::kill);
  CHECK(take_requests(folder.path, rejected).empty());
  CHECK(rejected.empty());
}

TEST_CASE("what is no request is removed and told, and a missing folder is no request") {
  Folder folder;
  std::vector<std::string> rejected;
  CHECK(take_requests(folder.path, rejected).empty());
  fs::create_directories(folder.path + "/requests");
  std::ofstream(folder.path + "/requests/1.json") << "{\"request\": \"dance\"}";
  std::ofstream(folder.path + "/requests/2.json") << "no json";
  fs::create_directories(folder.path + "/requests/3.json/inside");  // cannot be removed, and is left alone
  CHECK(take_requests(folder.path, rejected).empty());
  CHECK(rejected == std::vector<std::string>{"1.json", "2.json"});
  CHECK(take_requests(folder.path, rejected).empty());
  CHECK(rejected.size() == 2);
}

TEST_CASE("a folder that cannot be written to is an error with words") {
  const auto left = leave_request("/proc/nowhere", {RunRequest::Kind::drain, ""});
  REQUIRE(!left);
  CHECK(!left.error().what.empty());
}

TEST_CASE("a call is answered in the file that it names, once") {
  Folder folder;
  Result<FolderAnswer> answer = Error{};
  std::thread asker([&] {
    answer = call_through_folder(folder.path, "POST", "/runtime/tasks", "{\"a\": \"\\n\"}", std::chrono::minutes(1));
  });
  std::vector<std::string> rejected;
  std::vector<RunRequest> taken;
  while (taken.empty()) taken = take_requests(folder.path, rejected);
  CHECK(taken[0].kind == RunRequest::Kind::call);
  CHECK(taken[0].body == "{\"a\": \"\\n\"}");
  REQUIRE(leave_answer(folder.path, taken[0].answer, {201, "yes"}));
  asker.join();
  REQUIRE(answer.ok());
  CHECK(answer->status == 201);
  CHECK(answer->body == "yes");
  CHECK(fs::is_empty(fs::path(folder.path) / "requests" / "answers"));
}

TEST_CASE("nobody takes a call: an error at the deadline, and the call is taken back") {
  Folder folder;
  const auto answer = call_through_folder(folder.path, "GET", "/runtime/tasks", "", std::chrono::milliseconds(1));
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().what.find("nothing was done") != std::string::npos);
  std::vector<std::string> rejected;
  CHECK(take_requests(folder.path, rejected).empty());
}
