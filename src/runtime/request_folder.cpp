#include "runtime/request_folder.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "core/defaults.hpp"
#include "core/run_paths.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A call's body as text in JSON may be twice as long; larger files are not read at all.
constexpr std::uintmax_t max_request_bytes = 2 * defaults::runtime_body + (1u << 20);

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// A name that leads nowhere else.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos;
}

std::optional<RunRequest> parse(const fs::path& path) {
  std::error_code error;
  if (fs::file_size(path, error) > max_request_bytes || error) return std::nullopt;
  std::ifstream file(path);
  const auto json = Json::parse(file, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  RunRequest request;
  request.reason = text_of(json, "reason");
  const std::string kind = text_of(json, "request");
  if (kind == "drain") {
    request.kind = RunRequest::Kind::drain;
  } else if (kind == "kill") {
    request.kind = RunRequest::Kind::kill;
  } else if (kind == "call") {
    request.kind = RunRequest::Kind::call;
    request.method = text_of(json, "method");
    request.target = text_of(json, "target");
    request.body = text_of(json, "body");
    request.answer = text_of(json, "answer");
    request.expires = json.contains("expires") && json["expires"].is_number() ? json["expires"].get<WallTime>() : 0;
    if (!is_plain_name(request.answer)) return std::nullopt;
  } else {
    return std::nullopt;
  }
  return request;
}

/// Writes a file so that it is there as a whole or not at all.
Status write_whole(const fs::path& folder, const std::string& name, const Json& json, const char* what) {
  std::error_code error;
  fs::create_directories(folder, error);
  const fs::path temporary = folder / ("." + name);
  const auto failed = [&](const std::string& why) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    return Error{std::string("cannot leave ") + what + ": " + why, folder.string(),
                 "is the run directory writable from here, and is there room on its disk?", ExitCode::runtime_failed};
  };
  errno = 0;
  std::ofstream file(temporary);
  file << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  file.close();
  if (file.fail()) return failed(errno != 0 ? std::strerror(errno) : "it could not be written");
  fs::rename(temporary, folder / (name + ".json"), error);
  if (error) return failed(error.message());
  return {};
}

/// Unique on all hosts, and in the order of time.
std::string new_name() {
  static std::atomic<unsigned> count{0};
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  std::string name =
      std::to_string(wall_now()) + "-" + host + "-" + std::to_string(getpid()) + "-" + std::to_string(++count);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

fs::path answers_of(const std::string& run_dir) {
  return RunPaths(run_dir).requests() / "answers";
}

Json json_of(const RunRequest& request) {
  Json json{{"reason", request.reason}};
  if (request.kind == RunRequest::Kind::call) {
    json = {{"request", "call"},    {"method", request.method}, {"target", request.target},
            {"body", request.body}, {"answer", request.answer}, {"expires", request.expires}};
  } else {
    json["request"] = request.kind == RunRequest::Kind::drain ? "drain" : "kill";
  }
  return json;
}

}  // namespace

Status leave_request(const std::string& run_dir, const RunRequest& request) {
  return write_whole(RunPaths(run_dir).requests(), new_name(), json_of(request), "a request");
}

Result<FolderAnswer> call_through_folder(const std::string& run_dir, std::string method, std::string target,
                                         std::string body, std::chrono::nanoseconds deadline) {
  RunRequest request{.kind = RunRequest::Kind::call,
                     .reason = "",
                     .method = std::move(method),
                     .target = std::move(target),
                     .body = std::move(body),
                     .answer = new_name(),
                     .expires = wall_now() + deadline.count()};
  const fs::path folder = RunPaths(run_dir).requests();
  if (auto left = write_whole(folder, request.answer, json_of(request), "a request"); !left) return left.error();
  const fs::path file = answers_of(run_dir) / (request.answer + ".json");
  const auto end = std::chrono::steady_clock::now() + deadline;
  std::error_code error;
  // A parallel file system tells nobody of a new file.
  while (!fs::exists(file, error)) {
    if (std::chrono::steady_clock::now() >= end) {
      // A request that is taken back is not carried out later, when nobody expects it.
      const bool taken = !fs::remove(folder / (request.answer + ".json"), error);
      return Error{taken ? "the run took the request and has not answered in time"
                         : "the run has not taken the request in time, and nothing was done",
                   run_dir, "is it still on? see: trireme status " + run_dir, ExitCode::failed};
    }
    std::this_thread::sleep_for(defaults::request_folder_poll);
  }
  std::ifstream in(file);
  const Json json = Json::parse(in, nullptr, false);
  fs::remove(file, error);
  if (!json.is_object()) return Error{"the run's answer cannot be read", file.string(), "", ExitCode::runtime_failed};
  return FolderAnswer{json.value("status", 0), text_of(json, "body")};
}

std::vector<RunRequest> take_requests(const std::string& run_dir, std::vector<std::string>& rejected) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(RunPaths(run_dir).requests(), error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code unknown;
    if (entry->path().extension() == ".json" && entry->is_regular_file(unknown)) files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  std::vector<RunRequest> out;
  for (const fs::path& file : files) {
    auto request = parse(file);
    if (!fs::remove(file, error)) continue;  // it would be taken again and again
    if (request) {
      out.push_back(std::move(*request));
    } else {
      rejected.push_back(file.filename().string());
    }
  }
  return out;
}

Status leave_answer(const std::string& run_dir, const std::string& name, const FolderAnswer& answer) {
  return write_whole(answers_of(run_dir), name, {{"status", answer.status}, {"body", answer.body}}, "an answer");
}

}  // namespace trireme
