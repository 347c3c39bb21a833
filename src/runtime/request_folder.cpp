#include "runtime/request_folder.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/run_paths.hpp"
#include "core/units.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// Larger files than any request are not read at all.
constexpr std::uintmax_t max_request_bytes = 1 << 20;

std::optional<RunRequest> parse(const fs::path& path) {
  std::error_code error;
  if (fs::file_size(path, error) > max_request_bytes || error) return std::nullopt;
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object() || !json.contains("request") || !json["request"].is_string()) return std::nullopt;
  RunRequest request;
  const std::string kind = json["request"];
  if (kind == "drain") {
    request.kind = RunRequest::Kind::drain;
  } else if (kind == "kill") {
    request.kind = RunRequest::Kind::kill;
  } else {
    return std::nullopt;
  }
  if (json.contains("reason") && json["reason"].is_string()) request.reason = json["reason"];
  return request;
}

}  // namespace

Status leave_request(const std::string& run_dir, const RunRequest& request) {
  const fs::path folder = RunPaths(run_dir).requests();
  std::error_code error;
  fs::create_directories(folder, error);
  const std::string name = std::to_string(wall_now()) + "-" + std::to_string(getpid());
  const fs::path temporary = folder / ("." + name);
  const nlohmann::json json{{"request", request.kind == RunRequest::Kind::drain ? "drain" : "kill"},
                            {"reason", request.reason}};
  std::ofstream file(temporary);
  file << json.dump() << '\n';
  file.close();
  if (file.fail()) {
    return Error{"cannot leave a request: " + std::string(std::strerror(errno)), folder.string(),
                 "is the run directory writable from here?", ExitCode::runtime_failed};
  }
  fs::rename(temporary, folder / (name + ".json"), error);
  if (error) return Error{"cannot leave a request: " + error.message(), folder.string(), "", ExitCode::runtime_failed};
  return {};
}

std::vector<RunRequest> take_requests(const std::string& run_dir, std::vector<std::string>& rejected) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(RunPaths(run_dir).requests(), error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<RunRequest> out;
  for (const fs::path& file : files) {
    if (auto request = parse(file)) {
      out.push_back(std::move(*request));
    } else {
      rejected.push_back(file.filename().string());
    }
    fs::remove(file, error);
  }
  return out;
}

}  // namespace trireme
