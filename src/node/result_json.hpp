// Whether what a function gave as its result is JSON that everybody who reads it can take: a native function may give any bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme {

/// Why it is not; none for good JSON.
std::optional<std::string> why_no_result(std::string_view result);

}  // namespace trireme
