// A workflow as text, one line per value that is not its default: what the valid fixtures are compared with.
#pragma once

#include <string>

#include "core/workflow_description.hpp"

std::string dump(const trireme::WorkflowDescription& workflow);
