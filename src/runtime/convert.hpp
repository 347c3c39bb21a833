// Tasks and services of the public API into descriptions: the same checks, in few words, that the workflow file gets.
//
// As in a workflow file, a program that is named with a slash and the inputs of a task are found from one folder: there the file's, here
// `folder`, the working folder of the program that embeds the runtime.
#pragma once

#include <string>

#include "core/description.hpp"
#include "core/result.hpp"
#include "trireme/service.hpp"
#include "trireme/task.hpp"

namespace trireme {

Result<TaskDescription> describe(const Task& task, const std::string& folder);
Result<ServiceDescription> describe(const Service& service, const std::string& folder);

}  // namespace trireme
