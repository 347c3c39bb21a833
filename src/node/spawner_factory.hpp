// Makes real spawners for an agent.
#pragma once

#include "core/ids.hpp"
#include "node/process_spawner.hpp"

namespace boost::asio {
class io_context;
}

namespace trireme {

/// The variable that tells processes of one rank from those of another rank on the same host.
inline constexpr std::string_view node_variable = "TRIREME_NODE";

struct SpawnerSettings {
  std::string program;  ///< empty: found by itself
  std::string log_file = "/dev/null";
  std::string remove;  ///< the rank's private folder, which the spawner removes if the rank dies
  std::string run_id;
  Rank rank = 0;
};

SpawnerFactory spawner_factory(boost::asio::io_context& loop, SpawnerSettings settings);

}  // namespace trireme
