// What functions returned: kept by the pilot, so that they can be arguments of other functions without touching a disk.
//
// Each is at most defaults::function_result long, all together at most defaults::results_held: one more is not kept, and who
// needs it as an argument fails in these words. The event log has every result. Belongs to the pilot's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/ids.hpp"
#include "core/result.hpp"

namespace trireme {

class Results {
 public:
  /// `json` is what the task returned in its last attempt.
  void keep(TaskIndex task, std::string json);
  /// Null where the task has returned nothing, or it was not kept.
  const std::string* find(TaskIndex task) const;

  /// The arguments with each {"result": ID} replaced by what that task returned.
  Result<std::string> fill(const std::string& args,
                           const std::function<std::optional<TaskIndex>(std::string_view id)>& find_task) const;

 private:
  std::unordered_map<TaskIndex, std::string> results_;
  std::size_t bytes_ = 0;
};

}  // namespace trireme
