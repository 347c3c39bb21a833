// Tasks and services of the public API into descriptions: the same checks, in few words, that the workflow file gets.
#pragma once

#include "core/description.hpp"
#include "core/result.hpp"
#include "trireme/service.hpp"
#include "trireme/task.hpp"

namespace trireme {

Result<TaskDescription> describe(const Task& task);
Result<ServiceDescription> describe(const Service& service);

}  // namespace trireme
