#include "cli/placement_drawing.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "node/allocator.hpp"

namespace trireme::cli {
namespace {

constexpr std::size_t most_drawings = 32;
constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// "1-3,5"
std::string ranges(std::vector<std::uint32_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  std::string out;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
    out += (out.empty() ? "" : ",") + std::to_string(numbers[i]);
    if (end > i) out += "-" + std::to_string(numbers[end]);
    i = end + 1;
  }
  return out;
}

/// One node at one time.
class Drawing {
 public:
  explicit Drawing(const NodeResources& node) : node_(node), allocator_(node) {}

  void add(const std::string& who, const Resources& each, std::uint32_t count, std::uint32_t first_rank) {
    const auto given = allocator_.take(each, count);
    if (!given) {
      legend_ += "     " + who + ": waits on the node until what it needs is free\n";
      return;
    }
    for (std::uint32_t i = 0; i < count; ++i)
      add_process(who, (*given)[i], first_rank + i, count > 1 || first_rank > 0);
  }

  std::string text() const {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::map<std::uint32_t, char>> rows;  // core -> what is there
    for (const NodeCore& core : node_.reserved) rows[{core.domain, core.cache}][core.id] = '-';
    for (const NodeCore& core : node_.cores) {
      const auto used = by_core_.find(core.id);
      rows[{core.domain, core.cache}][core.id] = used == by_core_.end() ? '.' : used->second;
    }
    std::string out;
    for (const auto& [place, cores] : rows) {
      std::string cells;
      std::vector<std::uint32_t> ids;
      for (const auto& [id, what] : cores) {
        cells += what;
        ids.push_back(id);
      }
      out += "  domain " + std::to_string(place.first) + ", L3 " + std::to_string(place.second) + "  " + cells +
             "  cores " + ranges(ids) + gpus_at(ids) + "\n";
    }
    return out + legend_;
  }

 private:
  void add_process(const std::string& who, const Allocation& given, std::uint32_t rank, bool several) {
    const char letter = letters[next_++ % letters.size()];
    std::vector<std::uint32_t> cores;
    std::vector<std::uint32_t> gpus;
    for (const std::uint32_t core : given.cores) {
      cores.push_back(node_.cores[core].id);
      by_core_[cores.back()] = letter;
    }
    for (const auto& part : given.gpus) {
      gpus.push_back(node_.gpus[part.gpu].index);
      by_gpu_[gpus.back()] += letter;
    }
    legend_ += std::string("  ") + letter + "  " + who + (several ? " rank " + std::to_string(rank) : "") + ": ";
    legend_ += cores.empty() ? "no core of its own" : (cores.size() == 1 ? "core " : "cores ") + ranges(cores);
    if (!gpus.empty()) legend_ += (gpus.size() == 1 ? ", GPU " : ", GPUs ") + ranges(gpus);
    legend_ += "\n";
  }

  /// GPUs stand where the first of their cores is; those of which nobody knows where they are stand in the first line.
  std::string gpus_at(const std::vector<std::uint32_t>& cores) const {
    std::string out;
    for (const NodeGpu& gpu : node_.gpus) {
      const std::uint32_t home = gpu.near.empty() ? first_core() : gpu.near.front();
      if (std::find(cores.begin(), cores.end(), home) == cores.end()) continue;
      const auto used = by_gpu_.find(gpu.index);
      out += "   GPU " + std::to_string(gpu.index) + " " + (used == by_gpu_.end() ? "." : used->second);
    }
    return out;
  }
  std::uint32_t first_core() const {
    return node_.reserved.empty() ? node_.cores.front().id
                                  : std::min(node_.cores.front().id, node_.reserved.front().id);
  }

  const NodeResources& node_;
  Allocator allocator_;
  std::map<std::uint32_t, char> by_core_;
  std::map<std::uint32_t, std::string> by_gpu_;
  std::size_t next_ = 0;
  std::string legend_;
};

}  // namespace

std::string draw_placement(const pilot::Plan& plan, const WorkflowDescription& workflow, const NodeResources& node) {
  std::unordered_map<std::string, const Resources*> per_rank;  // by the id of a task
  for (const TaskFamily& family : workflow.tasks) {
    for (std::uint32_t i = 0; i < family.size(); ++i) per_rank.emplace(family.id(i), &family.shared().per_rank);
  }
  std::unordered_map<std::string_view, const ServiceDescription*> services;
  for (const ServiceDescription& service : workflow.services) services.emplace(service.name, &service);

  std::map<std::pair<std::uint32_t, Rank>, Drawing> drawings;
  const auto drawing = [&](std::uint32_t wave, Rank rank) -> Drawing& {
    const auto [entry, is_new] = drawings.try_emplace({wave, rank}, node);
    if (is_new) {
      // Replicas live through all waves.
      for (const auto& replica : plan.replicas) {
        std::uint32_t first_rank = 0;
        for (const auto& part : replica.parts) {
          if (part.rank == rank) {
            entry->second.add(replica.service + "/" + std::to_string(replica.replica),
                              services.at(replica.service)->per_rank, part.local_ranks, first_rank);
          }
          first_rank += part.local_ranks;
        }
      }
    }
    return entry->second;
  };
  for (const auto& replica : plan.replicas) {
    for (const auto& part : replica.parts) drawing(0, part.rank);
  }
  std::size_t left_out = 0;
  for (const auto& task : plan.tasks) {
    const Resources& each = *per_rank.at(task.id);
    std::uint32_t first_rank = 0;
    for (const auto& part : task.parts) {
      if (drawings.size() < most_drawings || drawings.contains({task.wave, part.rank})) {
        drawing(task.wave, part.rank).add(task.id, each, part.local_ranks, first_rank);
      } else {
        ++left_out;
      }
      first_rank += part.local_ranks;
    }
  }
  std::string out;
  for (const auto& [at, picture] : drawings) {
    out += "wave " + std::to_string(at.first + 1) + ", rank " + std::to_string(at.second) + "\n" + picture.text();
  }
  if (left_out > 0) out += "… and " + std::to_string(left_out) + " more on further nodes and in further waves\n";
  return out;
}

}  // namespace trireme::cli
