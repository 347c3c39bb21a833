// Fetching a URL into a file, for inputs with `mode: transfer`.
#pragma once

#include <stop_token>
#include <string>

#include "core/result.hpp"

namespace trireme {

/// Blocks until the whole body is in `file`, which must not exist yet. http, https and file are understood; certificates are
/// checked; a transfer that stands still for a minute is given up.
Status transfer(const std::string& url, const std::string& file, const std::stop_token& stop);

}  // namespace trireme
