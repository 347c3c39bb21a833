// Launch methods: how the ranks of an attempt at a task, or of a replica, find each other.
//
// What all methods share is made before: each rank on this node is a Spawn with its command, environment, files
// and cores. A method adds what its kind of program needs to find its peers, hears what becomes of the ranks, and may end the
// attempt. There is one file per method, in launch/; docs/spec/launch.md tells what they say to each other between nodes.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/messages.hpp"
#include "core/result.hpp"
#include "core/run_info.hpp"
#include "launch/choice.hpp"
#include "launch/spawner/protocol.hpp"
#include "launch/wireup/messages.hpp"
#include "node/hosts.hpp"
#include "node/variables.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

class ChildListener;
class Processes;

namespace wireup {
class Exchange;
}

/// The ranks of a launch that run on this node, and where all of them are.
struct LaunchPart {
  LaunchId id;
  std::uint32_t first_rank = 0;  ///< of those here
  std::uint32_t local_ranks = 1;
  std::uint32_t ranks = 1;        ///< in all
  std::vector<RankBlock> layout;  ///< of MPI programs; in the order of ranks
};

/// One rank of a launch, ready to run on its own.
struct RankProcess {
  std::uint32_t rank = 0;
  spawner::Spawn spawn;  ///< without its env, which is made of `variables` at the end
  Variables variables;
};

/// What a method adds to a rank.
struct RankWiring {
  Variables variables;       ///< whatever the user has set
  Variables defaults;        ///< where the user has not set them
  std::string connect_path;  ///< as in spawner::Spawn
  std::string connect_greeting;
  std::vector<std::string> wrapper;  ///< a command that the rank's own is the argument of; empty: none
};

/// Why the ranks of an attempt cannot go on.
struct LaunchTrouble {
  std::optional<std::uint32_t> rank;  ///< whose doing it is; none: no rank's
  std::int32_t exit_code = 1;
  std::string what;
};

/// How a method answers; all on the agent's loop, nothing after release().
struct LaunchEvents {
  /// For each rank here, from the first. Called once, perhaps from inside prepare().
  std::function<void(Result<std::vector<RankWiring>>)> ready;
  /// The attempt cannot go on: its processes are to be ended. Not called before `ready`.
  std::function<void(const LaunchTrouble&)> broken;
  /// A rank here has used this, beyond what its process has: of a rank that another launcher started.
  std::function<void(const Usage&)> used;
};

/// What methods find around them. Outlives them.
struct LaunchContext {
  boost::asio::io_context& loop;
  Processes& processes;
  ChildListener& listener;
  wireup::Exchange& exchange;
  Hosts& hosts;
  std::function<void(Rank to, wireup::Message message)> send;
  Rank self = 0;
  RunInfo run;
  std::filesystem::path tmp_folder;
  std::filesystem::path log_folder;
  Variables base;             ///< the environment that processes of this node start from
  Variables launcher;         ///< what the launcher of this rank has told it, which is not in `base`
  bool shared_cores = false;  ///< processes are not bound to cores of their own: ranks should yield when they wait
};

class LaunchMethod {
 public:
  virtual ~LaunchMethod() = default;
  virtual std::string_view name() const = 0;
  /// `kind` is never automatic.
  virtual void prepare(const LaunchPart& part, MpiKind kind, LaunchEvents events) = 0;
  /// A rank has ended well, one of several.
  virtual void rank_left(LaunchId /*attempt*/, std::uint32_t /*rank*/) {}
  /// All ranks here are gone, or will never run. Also for an attempt that prepare() has not answered yet.
  virtual void release(LaunchId /*attempt*/) {}
  /// From another agent; what is none of this method's business is left as it is.
  virtual void on_message(Rank /*from*/, wireup::Message& /*message*/) {}
  virtual void on_rank_lost(Rank /*rank*/) {}
  /// The run is over here: end what the method itself has started.
  virtual void close() {}
};

using LaunchMethods = std::vector<std::unique_ptr<LaunchMethod>>;

/// The methods that this build has.
LaunchMethods built_launch_methods(const LaunchContext& context);
std::vector<std::string_view> built_launch_method_names();

/// What there is for methods to start tasks with. `base` and `launcher` are as in LaunchContext.
Surroundings look_around(const Variables& base, const Variables& launcher, const std::string& dvm_uri);

struct ChosenMethod {
  LaunchMethod* method = nullptr;
  MpiKind kind = MpiKind::none;  ///< what the task uses, found out
  std::string why;               ///< as Choice has it
};

/// The method for a task that says `kind`; `find` looks at its program.
Result<ChosenMethod> choose_method(const LaunchMethods& methods, std::string_view launcher, MpiKind kind,
                                   const std::function<ProgramMpi()>& find, const Surroundings& here);

}  // namespace trireme
