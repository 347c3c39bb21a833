// What a rank finds in its environment where the user has not set it, whichever of our own methods wires it up.
//
// An MPI library opens hwloc in each rank, and hwloc all of its plugins, though the topology is then the shared one of the PMIx server. Two
// of them cost a rank some milliseconds and give a task nothing: `gl` asks an X server about its GPUs and links all of X11 for it, and
// `xml_libxml` (with ICU) reads what hwloc's own parser reads as well.
#pragma once

#include "node/variables.hpp"

namespace trireme {

inline Variables rank_defaults() {
  return {{"HWLOC_PLUGINS_BLACKLIST", "hwloc_gl.so,hwloc_xml_libxml.so"}};
}

}  // namespace trireme
