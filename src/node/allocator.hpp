// Which cores and GPUs of this node an attempt gets. Pure bookkeeping.
//
// The pilot counts amounts; this picks the things themselves. The cores of one process come from one place: cores of one kind
// under one L3 cache where they fit, else in one NUMA domain, else in as few domains as possible. Among places of the same sort
// those count first that have the GPUs which the process wants next to them, then faster cores, then the smallest gap of cores
// side by side that fits, so that wide ones stay. Its GPUs are those nearest to its cores.
//
// A process that shares a GPU is packed onto the fullest one that still has room, so that whole GPUs stay whole; a request
// above one GPU is rounded up to whole ones (the pilot counts in the same way, pilot/room.hpp). Nothing is ever given out
// twice. What the pilot has counted can be unavailable for a while: an end is on its way, or the free parts of GPUs lie on
// different ones. ResourceQueue then makes the attempt wait.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <vector>

#include "core/resources.hpp"
#include "node/topology.hpp"

namespace trireme {

/// What one process was given: positions in NodeResources::cores and ::gpus.
struct Allocation {
  struct GpuPart {
    std::uint32_t gpu = 0;
    MilliGpus amount = 0;
    bool operator==(const GpuPart&) const = default;
  };
  std::vector<std::uint32_t> cores;
  std::vector<GpuPart> gpus;
  bool operator==(const Allocation&) const = default;
};

class Allocator {
 public:
  explicit Allocator(const NodeResources& node);

  /// For `count` processes, `each` for one of them; all or nothing.
  std::optional<std::vector<Allocation>> take(const Resources& each, std::uint32_t count);
  void give_back(const std::vector<Allocation>& allocations);
  /// Whether an empty node would have it.
  bool ever_fits(const Resources& each, std::uint32_t count) const;

  std::uint32_t free_cores() const { return free_cores_; }
  MilliGpus free_gpus() const;

 private:
  struct Core {
    std::uint32_t domain = 0;
    std::uint32_t cache = 0;
    std::uint32_t kind = 0;
    bool free = true;
  };
  struct Gpu {
    MilliGpus free = whole_gpu;
    std::vector<bool> near;  ///< by core; empty: it is near to all
    bool is_near(std::size_t core) const { return near.empty() || near[core]; }
  };
  /// Cores that belong together, as positions in cores_.
  struct Place {
    std::size_t first = 0;
    std::size_t end = 0;
  };
  /// How well a process would live in a place.
  struct Fit {
    bool gpus = false;       ///< the GPUs that it wants are next to it
    std::uint32_t kind = 0;  ///< of its cores
    bool side_by_side = false;
    std::size_t room = 0;  ///< of the gap, or of all free cores
    bool better_than(const Fit& other) const;
  };

  std::optional<Allocation> take_one(const Resources& wanted);
  /// GPUs that may be chosen for a request, as the packing of shares has it, and how many of them.
  std::vector<std::uint32_t> candidates(MilliGpus wanted) const;
  std::optional<Fit> fit(const Place& place, std::uint32_t cores, const std::vector<std::uint32_t>& gpus,
                         std::size_t gpus_wanted, std::size_t& first) const;
  void take_cores(std::uint32_t wanted, const std::vector<std::uint32_t>& gpus, std::size_t gpus_wanted,
                  std::vector<std::size_t>& out);
  void take_free(const Place& place, std::size_t first, std::uint32_t wanted, std::vector<std::size_t>& out);
  void take_gpus(MilliGpus wanted, std::vector<std::uint32_t> from, std::size_t count,
                 const std::vector<std::size_t>& cores, std::vector<Allocation::GpuPart>& out);
  void give_back_one(const Allocation& allocation);

  std::vector<Core> cores_;  ///< those of a domain, in it those of a cache, in it those of a kind stand together
  std::vector<std::uint32_t> position_;  ///< of the n-th of cores_ in NodeResources::cores
  std::vector<std::uint32_t> slot_;      ///< where that is in cores_
  std::vector<Gpu> gpus_;
  std::vector<Place> caches_;  ///< cores of one kind under one cache
  std::vector<Place> domains_;
  std::uint32_t free_cores_ = 0;
};

/// Hands out resources in the order of asking, except that what does not fit now lets others pass: the pilot has counted it
/// already, so those cannot take what it needs for good.
class ResourceQueue {
 public:
  using Granted = std::function<void(std::vector<Allocation>)>;
  using Ticket = std::uint64_t;

  explicit ResourceQueue(const NodeResources& node) : allocator_(node) {}

  /// Calls `granted`, at once or when it has become possible.
  Ticket ask(const Resources& each, std::uint32_t count, Granted granted);
  /// Takes back a question that was not granted yet.
  void withdraw(Ticket ticket);
  void give_back(const std::vector<Allocation>& allocations);

  bool ever_fits(const Resources& each, std::uint32_t count) const { return allocator_.ever_fits(each, count); }
  std::size_t waiting() const { return waiting_.size(); }
  const Allocator& allocator() const { return allocator_; }

 private:
  struct Waiting {
    Ticket ticket;
    Resources each;
    std::uint32_t count;
    Granted granted;
  };
  void serve();

  Allocator allocator_;
  std::list<Waiting> waiting_;
  Ticket last_ticket_ = 0;
};

}  // namespace trireme
