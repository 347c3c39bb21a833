// Placement on real kinds of nodes: for each topology a table of what ranks are given, and random requests of which nothing
// may be given twice or out of what is reserved, and all that fits must be placed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "node/allocator.hpp"
#include "node/topology.hpp"

using namespace trireme;

namespace {

std::string data(const std::string& name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/unit/node/data/" + name;
}

NodeResources node_of(const std::string& topology, const std::string& reserved) {
  NodeSources sources;
  sources.proc = sources.sys = sources.dev = "/nowhere";
  sources.hwloc_xml = data(topology + ".xml");
  sources.environment = [](std::string_view) { return std::nullopt; };
  auto node = discover_node(sources);
  REQUIRE_MESSAGE(node.ok(), (node.ok() ? "" : node.error().text()));
  if (reserved != "-") REQUIRE(reserve_cores(*node, reserved));
  return *node;
}

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

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

/// "1-7/4 9-15/5": cores and GPUs of each rank.
std::string text_of(const std::vector<Allocation>& allocations, const NodeResources& node) {
  std::string out;
  for (const Allocation& one : allocations) {
    std::vector<std::uint32_t> cores;
    std::vector<std::uint32_t> gpus;
    for (const auto core : one.cores) cores.push_back(node.cores[core].id);
    for (const auto& part : one.gpus) gpus.push_back(node.gpus[part.gpu].index);
    out += (out.empty() ? "" : " ") + ranges(cores);
    if (!gpus.empty()) out += "/" + ranges(gpus);
  }
  return out;
}

}  // namespace

TEST_CASE("each kind of node places each kind of task as its table says") {
  std::ifstream table(data("placements.txt"));
  int lines = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.empty() || line.front() == '#') continue;
    ++lines;
    CAPTURE(line);
    std::istringstream parts(line);
    std::string topology;
    std::string reserved;
    std::string request;
    std::string expected;
    std::getline(parts, topology, '|');
    std::getline(parts, reserved, '|');
    std::getline(parts, request, '|');
    std::getline(parts, expected);
    const NodeResources node = node_of(trimmed(topology), trimmed(reserved));
    std::istringstream numbers(request);
    std::uint32_t ranks = 0;
    std::uint32_t cores = 0;
    double gpus = 0;
    numbers >> ranks >> cores >> gpus;
    Allocator allocator(node);
    const auto given = allocator.take({cores, static_cast<MilliGpus>(std::lround(gpus * whole_gpu)), 0}, ranks);
    REQUIRE(given);
    CHECK(text_of(*given, node) == trimmed(expected));
  }
  CHECK(lines >= 30);
}

TEST_CASE("the nodes are what they are meant to be") {
  const NodeResources frontier = node_of("frontier-like", "l3");
  CHECK(frontier.cores.size() == 56);
  CHECK(frontier.reserved.size() == 8);
  CHECK(frontier.gpus.size() == 8);
  CHECK(frontier.gpus[0].vendor == GpuVendor::amd);
  CHECK(frontier.gpus[4].near.front() == 0);  // next to the first cache, whose first core is reserved
  CHECK(frontier.memory == 512ull << 30);
  const NodeResources delta = node_of("delta-like", "-");
  CHECK(delta.cores.size() == 64);
  CHECK(delta.gpus.size() == 4);
  CHECK(delta.gpus[3].near.front() == 0);
  CHECK(node_of("two-sockets-96-cores", "-").cores.size() == 96);
  const NodeResources laptop = node_of("two-kinds-of-core", "-");
  CHECK(laptop.cores.size() == 14);
  CHECK(laptop.cores.front().kind > laptop.cores.back().kind);
}

TEST_CASE("what cannot be reserved is an error") {
  NodeResources node = node_of("two-kinds-of-core", "-");
  for (const char* which : {"14", "x", "0-", "3-1", "", "0,,1", "-1"}) {
    CAPTURE(which);
    NodeResources copy = node;
    CHECK(!reserve_cores(copy, which));
  }
}

TEST_CASE("nothing is given twice, nothing reserved at all, and what fits is placed") {
  std::mt19937 random(4711);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (const char* topology : {"frontier-like", "delta-like", "two-sockets-96-cores", "two-kinds-of-core"}) {
    for (const char* reserved : {"-", "l3", "1"}) {
      const NodeResources node = node_of(topology, reserved);
      std::set<std::uint32_t> kept;
      for (const NodeCore& core : node.reserved) kept.insert(core.id);
      Allocator allocator(node);
      std::vector<std::vector<Allocation>> out;
      int placed = 0;
      for (int step = 0; step < 1500; ++step) {
        if (!out.empty() && below(5) < 2) {
          const std::size_t victim = below(static_cast<std::uint32_t>(out.size()));
          allocator.give_back(out[victim]);
          out.erase(out.begin() + static_cast<std::ptrdiff_t>(victim));
        } else {
          const std::vector<MilliGpus> kinds{0, 0, 250, 500, 1000, 2000};
          const Resources wanted{below(20), kinds[below(6)], 0};
          const std::uint32_t count = 1 + below(4);
          std::vector<MilliGpus> free(node.gpus.size(), whole_gpu);
          for (const auto& grant : out) {
            for (const auto& one : grant) {
              for (const auto& part : one.gpus) free[part.gpu] -= part.amount;
            }
          }
          std::uint32_t room = 0;
          for (const MilliGpus gpu : free) {
            room += wanted.gpus == 0 ? 0 : wanted.gpus < whole_gpu ? gpu / wanted.gpus : gpu == whole_gpu ? 1 : 0;
          }
          if (wanted.gpus >= whole_gpu) room /= wanted.gpus / whole_gpu;
          const bool fits = wanted.cores * count <= allocator.free_cores() && (wanted.gpus == 0 || room >= count);
          auto given = allocator.take(wanted, count);
          REQUIRE(given.has_value() == fits);
          if (given) out.push_back(std::move(*given));
          placed += fits ? 1 : 0;
        }
        std::set<std::uint32_t> cores;
        std::map<std::uint32_t, MilliGpus> gpus;
        for (const auto& grant : out) {
          for (const auto& one : grant) {
            for (const auto core : one.cores) {
              REQUIRE(cores.insert(node.cores.at(core).id).second);
              REQUIRE(!kept.contains(node.cores[core].id));
            }
            for (const auto& part : one.gpus) gpus[part.gpu] += part.amount;
          }
        }
        for (const auto& [gpu, amount] : gpus) REQUIRE(amount <= whole_gpu);
      }
      CHECK(placed > 100);
    }
  }
}
