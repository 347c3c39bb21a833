// The words of a rank: RUN/nodes/RANK/rank.log, and from warnings on also stderr with one prefix.
#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/ids.hpp"

namespace trireme {

/// trace, debug, info, warn, error, or off.
bool is_log_level(std::string_view text);

/// Without a folder to write to, stderr alone.
std::shared_ptr<spdlog::logger> make_logger(const std::string& run_dir, Rank rank, const std::string& level);

}  // namespace trireme
