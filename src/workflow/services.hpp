// `services:` and `environments:` into descriptions.
#pragma once

#include <deque>
#include <vector>

#include "core/description.hpp"
#include "workflow/reader.hpp"

namespace trireme::workflow {

/// Where a service came from, for messages about what it refers to. Null where the file has no such key.
struct ServiceOrigin {
  Position at;
  const Node* environment = nullptr;
  const Node* uses = nullptr;
  const Node* after = nullptr;
};

struct Services {
  std::vector<ServiceDescription> all;
  std::vector<ServiceOrigin> origins;  ///< of each
  std::deque<Node> maps;               ///< of each, with what its preset gives; the origins refer to them
};

/// Reads all services and checks what concerns them alone: models named twice among them.
Services read_services(const Value& section, Parameters& parameters, std::string_view workflow_dir,
                       Diagnostics& diagnostics);

std::vector<EnvironmentDescription> read_environments(const Value& section, Parameters& parameters,
                                                      std::string_view workflow_dir, Diagnostics& diagnostics);

}  // namespace trireme::workflow
