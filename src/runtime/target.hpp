// The target of an HTTP request in parts: "/runtime/tasks/a%5B1%5D?limit=10" is {runtime, tasks, a[1]} and {limit: 10}.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

struct Target {
  std::vector<std::string> path;
  std::map<std::string, std::string, std::less<>> query;

  std::optional<std::string> value(std::string_view name) const;
};

Target parse_target(std::string_view target);

}  // namespace trireme
