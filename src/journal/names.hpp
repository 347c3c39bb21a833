// The names of tasks and services, learnt from the events themselves: events carry indexes, people read names.
#pragma once

#include <string>
#include <unordered_map>

#include "core/events.hpp"

namespace trireme {

class EventNames {
 public:
  /// To be shown every event, in order, before names in it are asked for.
  void learn(const EventBody& event) {
    if (const auto* task = std::get_if<events::TaskSubmitted>(&event)) tasks_[task->task] = task->id;
    if (const auto* service = std::get_if<events::ServiceDeclared>(&event)) {
      services_[service->service] = service->name;
    }
  }
  /// "#7" where the log did not say.
  std::string task(TaskIndex index) const { return name(tasks_, index); }
  std::string service(ServiceIndex index) const { return name(services_, index); }

 private:
  template <typename Index>
  static std::string name(const std::unordered_map<Index, std::string>& names, Index index) {
    const auto found = names.find(index);
    return found != names.end() ? found->second : "#" + std::to_string(index.value);
  }
  std::unordered_map<TaskIndex, std::string> tasks_;
  std::unordered_map<ServiceIndex, std::string> services_;
};

}  // namespace trireme
