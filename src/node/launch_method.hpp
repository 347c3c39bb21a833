// Launch methods: how the ranks of an attempt become processes.
//
// What all methods share is made before: each rank of the attempt on this node is a Spawn with its command, environment, files
// and cores. A method adds what its kind of task needs to find its peers. There is one file per method, in launch/.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/messages.hpp"
#include "core/result.hpp"
#include "launch/spawner/protocol.hpp"
#include "node/variables.hpp"

namespace trireme {

/// One rank of an attempt, ready to run on its own.
struct RankProcess {
  std::uint32_t rank = 0;
  spawner::Spawn spawn;  ///< without its env, which is made of `variables` at the end
  Variables variables;
};

class LaunchMethod {
 public:
  virtual ~LaunchMethod() = default;
  virtual std::string_view name() const = 0;
  virtual bool fits(const StartTask& part) const = 0;
  /// Adds to the processes of the part what this method needs.
  virtual Status prepare(const StartTask& part, std::vector<RankProcess>& processes) = 0;
};

using LaunchMethods = std::vector<std::unique_ptr<LaunchMethod>>;

/// The methods that this build has, in the order in which they are tried.
LaunchMethods built_launch_methods();

/// The first method that fits; fails where there is none, with a hint.
Result<LaunchMethod*> choose_method(const LaunchMethods& methods, const StartTask& part);

}  // namespace trireme
