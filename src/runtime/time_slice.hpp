// How soon a thread that wakes gets a core that others want too.
//
// Since 6.12 Linux lets those run first whose slice is due soonest, so a thread that asks for short slices gets no more of the
// core than others, but gets it sooner. That is what a rank's event loop needs: it does little at a time, and others wait for it.
// On a node where services start or tasks outnumber the cores, each of its wakes else waits for slices of several of them. It
// takes no privilege. Older kernels take no notice; there a thread that has slept goes first anyway.
#pragma once

#include "core/units.hpp"

namespace trireme {

/// The calling thread asks for short slices while this lives; what it starts does not. Under another policy than the default
/// one, which somebody has chosen for it, everything stays as it is.
class ShortSlices {
 public:
  ShortSlices();
  ~ShortSlices();
  ShortSlices(const ShortSlices&) = delete;
  ShortSlices& operator=(const ShortSlices&) = delete;

 private:
  Duration before_{0};
  bool changed_ = false;
};

/// Of the calling thread; zero where the kernel has none to tell.
Duration time_slice();

}  // namespace trireme
