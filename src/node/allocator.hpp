// Which cores and GPUs of this node an attempt gets. Pure bookkeeping.
//
// The pilot counts amounts; this picks the things themselves. Cores of one process come from one NUMA domain where they fit
// into one, and lie side by side where there is such a gap; the smallest gap that fits is used, so that wide ones stay.
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
  std::optional<Allocation> take_one(const Resources& wanted);
  bool take_cores(std::uint32_t wanted, std::vector<std::uint32_t>& out);
  bool take_gpus(MilliGpus wanted, std::vector<Allocation::GpuPart>& out);
  void give_back_one(const Allocation& allocation);

  struct Core {
    std::uint32_t domain = 0;
    bool free = true;
  };
  std::vector<Core> cores_;              ///< those of a domain stand together
  std::vector<std::uint32_t> position_;  ///< of the n-th of cores_ in NodeResources::cores
  std::vector<MilliGpus> gpus_;          ///< what is free of each
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
