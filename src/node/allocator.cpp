#include "node/allocator.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <tuple>

namespace trireme {
namespace {

/// The GPUs that a request of at least one takes.
std::uint32_t whole_gpus(MilliGpus wanted) {
  return (wanted + whole_gpu - 1) / whole_gpu;
}

}  // namespace

Allocator::Allocator(const NodeResources& node)
    : position_(node.cores.size()),
      slot_(node.cores.size()),
      gpus_(node.gpus.size()),
      free_cores_(static_cast<std::uint32_t>(node.cores.size())) {
  const auto key = [&](std::uint32_t i) {
    const NodeCore& core = node.cores[i];
    return std::tuple(core.domain, core.cache, ~core.kind);
  };
  std::iota(position_.begin(), position_.end(), 0u);
  std::stable_sort(position_.begin(), position_.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
  for (const std::uint32_t i : position_) {
    const NodeCore& core = node.cores[i];
    const auto slot = cores_.size();
    slot_[i] = static_cast<std::uint32_t>(slot);
    if (slot == 0 || cores_.back().domain != core.domain) domains_.push_back({slot, slot});
    if (slot == 0 || key(position_[slot - 1]) != key(i)) caches_.push_back({slot, slot});
    cores_.push_back({core.domain, core.cache, core.kind, true});
    domains_.back().end = caches_.back().end = slot + 1;
  }
  for (std::size_t g = 0; g < gpus_.size(); ++g) {
    const std::vector<std::uint32_t>& near = node.gpus[g].near;
    if (near.empty()) continue;
    gpus_[g].near.resize(cores_.size());
    for (std::size_t c = 0; c < cores_.size(); ++c) {
      gpus_[g].near[c] = std::find(near.begin(), near.end(), node.cores[position_[c]].id) != near.end();
    }
  }
}

MilliGpus Allocator::free_gpus() const {
  return std::accumulate(gpus_.begin(), gpus_.end(), MilliGpus{0},
                         [](MilliGpus sum, const Gpu& gpu) { return sum + gpu.free; });
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
  const std::vector<std::uint32_t> gpus = candidates(wanted.gpus);
  const std::size_t gpus_wanted = wanted.gpus == 0 ? 0 : whole_gpus(wanted.gpus);
  if (wanted.cores > free_cores_ || gpus.size() < gpus_wanted) return std::nullopt;
  Allocation out;
  std::vector<std::size_t> cores;
  take_cores(wanted.cores, gpus, gpus_wanted, cores);
  take_gpus(wanted.gpus, gpus, gpus_wanted, cores, out.gpus);
  for (const std::size_t core : cores) out.cores.push_back(position_[core]);
  return out;
}

std::vector<std::uint32_t> Allocator::candidates(MilliGpus wanted) const {
  std::vector<std::uint32_t> out;
  if (wanted == 0) return out;
  MilliGpus fullest = whole_gpu;
  if (wanted < whole_gpu) {
    for (const Gpu& gpu : gpus_) {
      if (gpu.free >= wanted) fullest = std::min(fullest, gpu.free);
    }
  }
  for (std::uint32_t g = 0; g < gpus_.size(); ++g) {
    if (gpus_[g].free == fullest) out.push_back(g);
  }
  return out;
}

bool Allocator::Fit::better_than(const Fit& other) const {
  if (gpus != other.gpus) return gpus;
  if (kind != other.kind) return kind > other.kind;
  if (side_by_side != other.side_by_side) return side_by_side;
  return room < other.room;
}

/// `first` becomes where to take cores from on.
std::optional<Allocator::Fit> Allocator::fit(const Place& place, std::uint32_t cores,
                                             const std::vector<std::uint32_t>& gpus, std::size_t gpus_wanted,
                                             std::size_t& first) const {
  std::size_t free = 0;
  std::size_t gap = 0;
  std::size_t best_gap = 0;
  first = place.first;
  for (std::size_t i = place.first; i <= place.end; ++i) {
    if (i < place.end && cores_[i].free) {
      ++free;
      ++gap;
      continue;
    }
    if (gap >= cores && (best_gap == 0 || gap < best_gap)) {
      best_gap = gap;
      first = i - gap;
    }
    gap = 0;
  }
  if (free < cores) return std::nullopt;
  const auto near = std::count_if(gpus.begin(), gpus.end(), [&](std::uint32_t g) {
    for (std::size_t i = place.first; i < place.end; ++i) {
      if (gpus_[g].is_near(i)) return true;
    }
    return false;
  });
  return Fit{static_cast<std::size_t>(near) >= gpus_wanted, cores_[place.first].kind, best_gap > 0,
             best_gap > 0 ? best_gap : free};
}

void Allocator::take_cores(std::uint32_t wanted, const std::vector<std::uint32_t>& gpus, std::size_t gpus_wanted,
                           std::vector<std::size_t>& out) {
  if (wanted == 0) return;
  struct Candidate {
    Place place;
    std::size_t first;
    Fit fit;
  };
  std::optional<Candidate> chosen;
  for (const std::vector<Place>* places : {&caches_, &domains_}) {
    std::optional<Candidate> best;
    for (const Place& place : *places) {
      std::size_t first = 0;
      const auto here = fit(place, wanted, gpus, gpus_wanted, first);
      if (here && (!best || here->better_than(best->fit))) best = Candidate{place, first, *here};
    }
    // A narrower place is worth more than a wider one, but less than one that has the GPUs.
    if (best && (!chosen || (best->fit.gpus && !chosen->fit.gpus))) chosen = best;
  }
  free_cores_ -= wanted;
  if (chosen) return take_free(chosen->place, chosen->first, wanted, out);

  // It spans as few domains as possible, and in these as few caches.
  const auto free_in = [&](const Place& place) {
    return std::count_if(cores_.begin() + static_cast<std::ptrdiff_t>(place.first),
                         cores_.begin() + static_cast<std::ptrdiff_t>(place.end),
                         [](const Core& core) { return core.free; });
  };
  const auto widest_first = [&](std::vector<Place> places) {
    std::stable_sort(places.begin(), places.end(),
                     [&](const Place& a, const Place& b) { return free_in(a) > free_in(b); });
    return places;
  };
  for (const Place& domain : widest_first(domains_)) {
    std::vector<Place> inside;
    for (const Place& cache : caches_) {
      if (cache.first >= domain.first && cache.end <= domain.end) inside.push_back(cache);
    }
    for (const Place& cache : widest_first(inside)) {
      take_free(cache, cache.first, wanted - static_cast<std::uint32_t>(out.size()), out);
    }
  }
  std::sort(out.begin(), out.end());
}

/// At most so many free cores of a place, from one of them on.
void Allocator::take_free(const Place& place, std::size_t first, std::uint32_t wanted, std::vector<std::size_t>& out) {
  for (std::size_t i = first; i < place.end && wanted > 0; ++i) {
    if (!cores_[i].free) continue;
    cores_[i].free = false;
    out.push_back(i);
    --wanted;
  }
}

/// The nearest of these GPUs.
void Allocator::take_gpus(MilliGpus wanted, std::vector<std::uint32_t> from, std::size_t count,
                          const std::vector<std::size_t>& cores, std::vector<Allocation::GpuPart>& out) {
  const auto distance = [&](std::uint32_t g) {
    std::size_t far = 0;
    std::size_t domain_far = 0;
    for (const std::size_t core : cores) {
      if (gpus_[g].is_near(core)) continue;
      ++far;
      bool same_domain = false;
      for (const Place& domain : domains_) {
        if (core < domain.first || core >= domain.end) continue;
        for (std::size_t i = domain.first; i < domain.end && !same_domain; ++i) same_domain = gpus_[g].is_near(i);
      }
      domain_far += same_domain ? 0 : 1;
    }
    return std::pair(domain_far, far);
  };
  std::stable_sort(from.begin(), from.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return distance(a) < distance(b); });
  const MilliGpus amount = std::min(wanted, whole_gpu);
  for (std::size_t i = 0; i < count; ++i) {
    gpus_[from[i]].free -= amount;
    out.push_back({from[i], amount});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.gpu < b.gpu; });
}

void Allocator::give_back_one(const Allocation& allocation) {
  for (const std::uint32_t core : allocation.cores) {
    Core& slot = cores_[slot_[core]];
    assert(!slot.free);
    slot.free = true;
    ++free_cores_;
  }
  for (const auto& part : allocation.gpus) {
    gpus_[part.gpu].free += part.amount;
    assert(gpus_[part.gpu].free <= whole_gpu);
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
