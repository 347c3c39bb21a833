// Where the runtime itself runs on a node whose cores are shared out with reserved ones among them.
#pragma once

#include "core/result.hpp"
#include "node/topology.hpp"

namespace trireme {

/// Keeps all threads of this process, and what they start from now on, to one core. What the spawner starts is bound anew.
Status keep_to(const NodeCore& core);

}  // namespace trireme
