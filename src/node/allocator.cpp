#include "node/allocator.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace trireme {
namespace {

/// The GPUs that a request of at least one takes.
std::uint32_t whole_gpus(MilliGpus wanted) {
  return (wanted + whole_gpu - 1) / whole_gpu;
}

}  // namespace

Allocator::Allocator(const NodeResources& node)
    : position_(node.cores.size()),
      gpus_(node.gpus.size(), whole_gpu),
      free_cores_(static_cast<std::uint32_t>(node.cores.size())) {
  std::iota(position_.begin(), position_.end(), 0u);
  std::stable_sort(position_.begin(), position_.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return node.cores[a].domain < node.cores[b].domain; });
  for (const std::uint32_t i : position_) cores_.push_back({node.cores[i].domain, true});
}

MilliGpus Allocator::free_gpus() const {
  return std::accumulate(gpus_.begin(), gpus_.end(), MilliGpus{0});
}

bool Allocator::ever_fits(const Resources& each, std::uint32_t count) const {
  if (std::uint64_t{each.cores} * count > cores_.size()) return false;
  if (each.gpus == 0) return true;
  if (each.gpus >= whole_gpu) return std::uint64_t{whole_gpus(each.gpus)} * count <= gpus_.size();
  return count <= std::uint64_t{whole_gpu / each.gpus} * gpus_.size();
}

std::optional<std::vector<Allocation>> Allocator::take(const Resources& each, std::uint32_t count) {
  std::vector<Allocation> out;
  out.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto one = take_one(each);
    if (!one) {
      give_back(out);
      return std::nullopt;
    }
    out.push_back(std::move(*one));
  }
  return out;
}

std::optional<Allocation> Allocator::take_one(const Resources& wanted) {
  Allocation out;
  if (take_cores(wanted.cores, out.cores) && take_gpus(wanted.gpus, out.gpus)) return out;
  give_back_one(out);
  return std::nullopt;
}

bool Allocator::take_cores(std::uint32_t wanted, std::vector<std::uint32_t>& out) {
  if (wanted > free_cores_) return false;
  if (wanted == 0) return true;

  // The shortest gap that fits; else the domain with the fewest free cores that still suffice.
  struct Gap {
    std::size_t first = 0;
    std::size_t length = 0;
  };
  std::optional<Gap> best;
  struct Domain {
    std::size_t first = 0;
    std::size_t free = 0;
  };
  std::vector<Domain> domains;
  Gap gap;
  for (std::size_t i = 0; i <= cores_.size(); ++i) {
    const bool border = i == cores_.size() || i == 0 || cores_[i].domain != cores_[i - 1].domain;
    const bool free = i < cores_.size() && cores_[i].free;
    if (border || !free) {
      if (gap.length >= wanted && (!best || gap.length < best->length)) best = gap;
      gap = {i + (free ? 0 : 1), 0};
    }
    if (border && i < cores_.size()) domains.push_back({i, 0});
    if (free) {
      ++gap.length;
      ++domains.back().free;
    }
  }

  const auto take_from = [&](std::size_t first) {
    const std::uint32_t domain = cores_[first].domain;
    for (std::size_t i = first; i < cores_.size() && cores_[i].domain == domain; ++i) {
      if (out.size() == wanted) return;
      if (!cores_[i].free) continue;
      cores_[i].free = false;
      out.push_back(position_[i]);
    }
  };
  if (best) {
    take_from(best->first);
  } else {
    // Where none suffices the widest come first, so that the process spans as few domains as possible.
    std::stable_sort(domains.begin(), domains.end(), [&](const Domain& a, const Domain& b) {
      const bool a_fits = a.free >= wanted;
      const bool b_fits = b.free >= wanted;
      if (a_fits != b_fits) return a_fits;
      return a_fits ? a.free < b.free : a.free > b.free;
    });
    for (const Domain& domain : domains) take_from(domain.first);
  }
  assert(out.size() == wanted);
  free_cores_ -= wanted;
  return true;
}

bool Allocator::take_gpus(MilliGpus wanted, std::vector<Allocation::GpuPart>& out) {
  const bool share = wanted < whole_gpu;
  const MilliGpus amount = share ? wanted : whole_gpu;
  for (std::uint32_t left = share ? (wanted > 0 ? 1 : 0) : whole_gpus(wanted); left > 0; --left) {
    auto fullest = gpus_.end();
    for (auto gpu = gpus_.begin(); gpu != gpus_.end(); ++gpu) {
      if (*gpu >= amount && (fullest == gpus_.end() || *gpu < *fullest)) fullest = gpu;
    }
    if (fullest == gpus_.end()) return false;
    *fullest -= amount;
    out.push_back({static_cast<std::uint32_t>(fullest - gpus_.begin()), amount});
  }
  return true;
}

void Allocator::give_back_one(const Allocation& allocation) {
  for (const std::uint32_t core : allocation.cores) {
    const auto at = std::find(position_.begin(), position_.end(), core) - position_.begin();
    auto& slot = cores_[static_cast<std::size_t>(at)];
    assert(!slot.free);
    slot.free = true;
    ++free_cores_;
  }
  for (const auto& part : allocation.gpus) {
    gpus_[part.gpu] += part.amount;
    assert(gpus_[part.gpu] <= whole_gpu);
  }
}

void Allocator::give_back(const std::vector<Allocation>& allocations) {
  for (const Allocation& allocation : allocations) give_back_one(allocation);
}

ResourceQueue::Ticket ResourceQueue::ask(const Resources& each, std::uint32_t count, Granted granted) {
  const Ticket ticket = ++last_ticket_;
  waiting_.push_back({ticket, each, count, std::move(granted)});
  serve();
  return ticket;
}

void ResourceQueue::withdraw(Ticket ticket) {
  waiting_.remove_if([&](const Waiting& one) { return one.ticket == ticket; });
}

void ResourceQueue::give_back(const std::vector<Allocation>& allocations) {
  allocator_.give_back(allocations);
  serve();
}

void ResourceQueue::serve() {
  // A grant may lead to another call of serve(), so the list is looked at afresh after each.
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    auto allocations = allocator_.take(it->each, it->count);
    if (!allocations) {
      ++it;
      continue;
    }
    const Granted granted = std::move(it->granted);
    waiting_.erase(it);
    granted(std::move(*allocations));
    it = waiting_.begin();
  }
}

}  // namespace trireme
