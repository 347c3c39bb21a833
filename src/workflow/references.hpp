// Checks what the parts of a workflow say of each other: names that must exist, and an order that must not go in circles.
#pragma once

#include "core/description.hpp"
#include "workflow/services.hpp"
#include "workflow/tasks.hpp"

namespace trireme::workflow {

/// The names that the file's sections hold, whether or not what stands under them could be read.
struct Names {
  std::vector<std::string_view> tasks;
  std::vector<std::string_view> services;
  std::vector<std::string_view> environments;
};

void check_references(const Names& names, const Tasks& tasks, const Services& services, Diagnostics& diagnostics);

}  // namespace trireme::workflow
