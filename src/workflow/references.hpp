// Checks what the parts of a workflow say of each other: names that must exist, and an order that must not go in circles.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "core/description.hpp"
#include "workflow/services.hpp"
#include "workflow/tasks.hpp"

namespace trireme::workflow {

/// What there is beside the text: in a run that is on. Unset functions know nothing.
struct Beyond {
  std::function<bool(std::string_view id_or_name)> task;
  std::function<bool(std::string_view name)> service;
  std::function<bool(std::string_view name)> environment;
};

/// The names that the file's sections hold, whether or not what stands under them could be read.
struct Names {
  std::vector<std::string_view> tasks;
  std::vector<std::string_view> services;
  std::vector<std::string_view> environments;
  Beyond beyond;
};

void check_references(const Names& names, const Tasks& tasks, const Services& services, Diagnostics& diagnostics);

}  // namespace trireme::workflow
