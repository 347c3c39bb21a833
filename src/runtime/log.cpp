#include "runtime/log.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/run_paths.hpp"

namespace trireme {

bool is_log_level(std::string_view text) {
  constexpr std::array<std::string_view, 6> levels{"trace", "debug", "info", "warn", "error", "off"};
  return std::find(levels.begin(), levels.end(), text) != levels.end();
}

std::shared_ptr<spdlog::logger> make_logger(const std::string& run_dir, Rank rank, const std::string& level) {
  std::vector<spdlog::sink_ptr> sinks;
  auto standard_error = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  standard_error->set_pattern("trireme: rank " + std::to_string(rank) + ": %v");
  standard_error->set_level(spdlog::level::warn);
  sinks.push_back(std::move(standard_error));
  try {
    const auto file = RunPaths(run_dir).node(rank) / "rank.log";
    auto log = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    log->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    sinks.push_back(std::move(log));
  } catch (const spdlog::spdlog_ex&) {
    // A full disk shall not keep a rank from saying so on stderr.
  }
  auto logger = std::make_shared<spdlog::logger>("rank", sinks.begin(), sinks.end());
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  return logger;
}

}  // namespace trireme
