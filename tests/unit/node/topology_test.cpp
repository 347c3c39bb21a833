#include "node/topology.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <set>

#include "bench.hpp"
#include "node/gpu_places.hpp"
#include "node/tmp_folder.hpp"

using namespace trireme;
namespace fs = std::filesystem;

namespace {

EnvironmentLookup environment(std::map<std::string, std::string, std::less<>> values) {
  return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

/// A host made of files; hwloc's part is a synthetic topology or an XML file.
struct Host {
  test::Folder root;
  NodeSources sources;
  Host() {
    sources.proc = (root.path() / "proc").string();
    sources.sys = (root.path() / "sys").string();
    sources.dev = (root.path() / "dev").string();
    sources.nvml.clear();
    sources.hwloc_synthetic = "numa:1 core:4 pu:1";
    sources.environment = environment({});
  }
  NodeResources discover() const {
    auto node = discover_node(sources);
    REQUIRE_MESSAGE(node.ok(), (node.ok() ? "" : node.error().text()));
    return *node;
  }
  void nvidia(int count) const {
    for (int i = 0; i < count; ++i) {
      test::write(
          fs::path(sources.proc) / "driver/nvidia/gpus" / ("0000:0" + std::to_string(i) + ":00.0") / "information", "");
      test::write(fs::path(sources.dev) / ("nvidia" + std::to_string(i)), "");
    }
    test::write(fs::path(sources.dev) / "nvidiactl", "");
    test::write(fs::path(sources.dev) / "nvidia-uvm", "");
  }
  void amd(int count) const {
    const fs::path nodes = fs::path(sources.sys) / "class/kfd/kfd/topology/nodes";
    for (int i = 0; i < 4 + count; ++i) {
      test::write(nodes / std::to_string(i) / "properties",
                  i < 4 ? "cpu_cores_count 16\nsimd_count 0\n" : "cpu_cores_count 0\nsimd_count 440\n");
      test::write(nodes / std::to_string(i) / "mem_banks/0/properties",
                  "heap_type 1\nsize_in_bytes " + std::to_string((60 + i) * 1'000'000'000LL) + "\nflags 0\n");
    }
  }
};

std::vector<std::string> ids(const NodeResources& node) {
  std::vector<std::string> out;
  for (const auto& gpu : node.gpus) out.push_back(gpu.id);
  return out;
}

std::string data(const char* name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/unit/node/data/" + name;
}

}  // namespace

TEST_CASE("cores are physical, in the domains of their memory") {
  Host host;
  host.sources.hwloc_synthetic = "package:2 numa:2 core:4 pu:2";
  const auto node = host.discover();
  CHECK(node.cores.size() == 16);
  CHECK(node.cores[0].domain == 0);
  CHECK(node.cores[15].domain == 3);
}

TEST_CASE("nothing is pinned to the cores of a topology that is not this host's") {
  Host host;
  for (const auto& core : host.discover().cores) CHECK(core.cpus.empty());
}

TEST_CASE("an XML file of a node with 64 cores in 4 domains is read, without the cores that its cgroup denies") {
  Host host;
  host.sources.hwloc_synthetic.clear();
  host.sources.hwloc_xml = data("four-domains-64-cores.xml");
  host.amd(8);
  const auto node = host.discover();
  CHECK(node.cores.size() == 64);
  CHECK(node.gpus.size() == 8);
  CHECK(node.gpus[0].vendor == GpuVendor::amd);
  CHECK(node.gpus[7].memory == 71'000'000'000);
  CHECK(node.memory == 512ull << 30);

  host.sources.hwloc_xml = data("eight-of-16-cores-allowed.xml");
  const auto narrow = host.discover();
  CHECK(narrow.cores.size() == 8);
  CHECK(narrow.cores.front().id != narrow.cores.back().id);
}

TEST_CASE("this host's cores can be pinned to, and the mask of the calling process does not matter") {
  const auto node = discover_node();
  REQUIRE(node.ok());
  REQUIRE(!node->cores.empty());
  CHECK(!node->cores[0].cpus.empty());
  CHECK(node->memory > 0);
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof(before), &before) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(node->cores[0].cpus[0], &one);
  REQUIRE(::sched_setaffinity(0, sizeof(one), &one) == 0);
  const auto bound = discover_node();
  REQUIRE(::sched_setaffinity(0, sizeof(before), &before) == 0);
  REQUIRE(bound.ok());
  CHECK(bound->cores == node->cores);
}

TEST_CASE("what Slurm granted narrows the cores") {
  Host host;
  host.sources.hwloc_synthetic = "numa:1 core:8 pu:2";
  host.sources.environment = environment({{"SLURM_CPUS_ON_NODE", "3"}});
  CHECK(host.discover().cores.size() == 3);
  // As many CPUs as there are hardware threads: all cores.
  host.sources.environment = environment({{"SLURM_CPUS_ON_NODE", "16"}});
  CHECK(host.discover().cores.size() == 8);
  host.sources.environment = environment({{"SLURM_JOB_CPUS_PER_NODE", "4(x3)"}});
  CHECK(host.discover().cores.size() == 4);
  host.sources.environment = environment({{"SLURM_JOB_CPUS_PER_NODE", "4,2"}});
  CHECK(host.discover().cores.size() == 8);
}

TEST_CASE("memory is what the cgroup leaves") {
  Host host;
  host.sources.hwloc_synthetic = "numa:1(memory=1073741824) core:4 pu:1";
  CHECK(host.discover().memory == 1073741824);
  SUBCASE("version 2, the smallest on the way up counts") {
    test::write(fs::path(host.sources.proc) / "self/cgroup", "0::/job/step\n");
    test::write(fs::path(host.sources.sys) / "fs/cgroup/job/step/memory.max", "max\n");
    test::write(fs::path(host.sources.sys) / "fs/cgroup/job/memory.max", "500000000\n");
    CHECK(host.discover().memory == 500000000);
  }
  SUBCASE("version 1") {
    test::write(fs::path(host.sources.proc) / "self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/slurm/job\n");
    test::write(fs::path(host.sources.sys) / "fs/cgroup/memory/slurm/job/memory.limit_in_bytes", "400000000\n");
    test::write(fs::path(host.sources.sys) / "fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK(host.discover().memory == 400000000);
  }
}

TEST_CASE("GPUs are those that the driver shows and the scheduler grants") {
  Host host;
  CHECK(host.discover().gpus.empty());
  host.nvidia(4);
  CHECK(ids(host.discover()) == std::vector<std::string>{"0", "1", "2", "3"});
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", "2,3"}, {"SLURM_JOB_GPUS", "0"}});
  CHECK(ids(host.discover()) == std::vector<std::string>{"2", "3"});
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", "GPU-8932f937,MIG-1"}});
  CHECK(ids(host.discover()) == std::vector<std::string>{"GPU-8932f937", "MIG-1"});
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", ""}});
  CHECK(host.discover().gpus.empty());
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", "1,-1,0"}});
  CHECK(ids(host.discover()) == std::vector<std::string>{"1"});
  host.sources.environment = environment({{"SLURM_JOB_GPUS", "1-2"}});
  CHECK(ids(host.discover()) == std::vector<std::string>{"1", "2"});
}

TEST_CASE("a rank whose host's GPUs are other ranks' knows whose they are") {
  Host host;
  CHECK(!share(host.discover(), 0, 2).gpu_vendor);
  host.nvidia(1);
  const NodeResources first = share(host.discover(), 0, 2);
  CHECK(first.gpus.empty());
  CHECK(first.gpu_vendor == GpuVendor::nvidia);
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", ""}});  // nobody finds any
  CHECK(!host.discover().gpu_vendor);
}

TEST_CASE("a container that was given two of four devices has two") {
  Host host;
  host.nvidia(4);
  fs::remove(fs::path(host.sources.dev) / "nvidia2");
  fs::remove(fs::path(host.sources.dev) / "nvidia3");
  CHECK(host.discover().gpus.size() == 2);
}

TEST_CASE("NVIDIA's library says how much memory its GPUs have; what it does not know, or without it, nobody knows") {
  Host host;
  host.nvidia(4);
  host.sources.nvml = TRIREME_TEST_NVML;
  auto gpus = host.discover().gpus;
  REQUIRE(gpus.size() == 4);
  CHECK(gpus[0].memory == 1'000'000'000);
  CHECK(gpus[1].memory == 2'000'000'000);
  CHECK(gpus[1].address == PciAddress{1, 0x80, 2});
  CHECK(gpus[3].memory == 0);
  CHECK(!gpus[3].address);
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", "GPU-1b2c,1"}});
  gpus = host.discover().gpus;
  REQUIRE(gpus.size() == 2);
  CHECK(gpus[0].memory == 3'000'000'000);
  CHECK(gpus[1].memory == 2'000'000'000);
  CHECK(gpus[0].address == PciAddress{1, 0xc0, 2});
  // CUDA lets a UUID be cut short where it stays the only one; it is passed on as it was given.
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", "GPU-aa02,GPU-aa0"}});
  gpus = host.discover().gpus;
  REQUIRE(gpus.size() == 2);
  CHECK(gpus[0].memory == 2'000'000'000);
  CHECK(gpus[1].memory == 0);
  host.sources.environment = environment({{"CUDA_VISIBLE_DEVICES", "GPU-1"}});
  gpus = host.discover().gpus;
  REQUIRE(gpus.size() == 1);
  CHECK(gpus[0].id == "GPU-1");
  CHECK(gpus[0].memory == 3'000'000'000);
  host.sources.nvml = "/no/such/library.so";
  for (const auto& gpu : host.discover().gpus) CHECK(gpu.memory == 0);
}

TEST_CASE("a GPU is where its address is, whatever its number; without one the number tells") {
  const std::vector<PciGpu> attached{{GpuVendor::amd, {0, 0x10, 0}, {7}},
                                     {GpuVendor::nvidia, {0, 0x40, 0}, {0, 1}},
                                     {GpuVendor::nvidia, {0, 0x80, 0}, {2, 3}}};
  // A container that was given the second alone numbers it 0.
  std::vector<NodeGpu> gpus{{0, GpuVendor::nvidia, "0", {}, 0, PciAddress{0, 0x80, 0}},
                            {1, GpuVendor::nvidia, "1"},
                            {0, GpuVendor::nvidia, "GPU-x", {}, 0, PciAddress{0, 0x90, 0}}};
  locate(gpus, attached);
  CHECK(gpus[0].near == std::vector<std::uint32_t>{2, 3});
  CHECK(gpus[1].near == std::vector<std::uint32_t>{2, 3});
  CHECK(gpus[2].near.empty());
}

TEST_CASE("HIP's list counts in what ROCR's leaves") {
  Host host;
  host.amd(4);
  host.sources.environment = environment({{"ROCR_VISIBLE_DEVICES", "1,3"}, {"HIP_VISIBLE_DEVICES", "1"}});
  CHECK(ids(host.discover()) == std::vector<std::string>{"3"});
}

TEST_CASE("ranks on one host divide it without a gap and without an overlap") {
  Host host;
  host.sources.hwloc_synthetic = "numa:2 core:5 pu:1";
  host.nvidia(3);
  const auto node = host.discover();
  for (const std::uint32_t count : {1u, 2u, 3u, 7u, 10u}) {
    std::set<std::uint32_t> cores;
    std::set<std::uint32_t> gpus;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto mine = share(node, i, count);
      CHECK(mine.cores.size() >= 1);
      CHECK(mine.warnings.empty());
      CHECK(mine.memory == node.memory / count);
      for (const auto& core : mine.cores) CHECK(cores.insert(core.id).second);
      for (const auto& gpu : mine.gpus) CHECK(gpus.insert(gpu.index).second);
    }
    CHECK(cores.size() == node.cores.size());
    CHECK(gpus.size() == node.gpus.size());
  }
}

TEST_CASE("where ranks outnumber cores each has one, and a warning says so") {
  Host host;
  host.sources.hwloc_synthetic = "numa:1 core:2 pu:1";
  const auto mine = share(host.discover(), 4, 5);
  CHECK(mine.cores.size() == 1);
  REQUIRE(mine.warnings.size() == 1);
  CHECK(mine.warnings[0] == "5 ranks share 2 cores of this host: each is given one");
}

TEST_CASE("a virtual node that fits is a part of the machine, one that does not is imagined") {
  auto node = test::small_node();
  for (auto& core : node.cores) core.cpus = {core.id};
  const auto fits = share(node, 1, 2, {.cores = 2, .gpus = {}, .memory = {}});
  REQUIRE(fits.cores.size() == 2);
  CHECK(fits.cores[0].cpus == std::vector<std::uint32_t>{2});

  const auto rehearsal = share(node, 1, 2, {.cores = 64, .gpus = 8, .memory = 512ull << 30});
  CHECK(rehearsal.amount() == Resources{64, 8 * whole_gpu, 512ull << 30});
  for (const auto& core : rehearsal.cores) CHECK(core.cpus.empty());
  for (const auto& gpu : rehearsal.gpus) CHECK(gpu.index < 2);

  node.gpus.clear();
  const auto imagined = share(node, 1, 2, {.cores = {}, .gpus = 2, .memory = {}});
  REQUIRE(imagined.gpus.size() == 2);
  CHECK(imagined.gpus[0].id == "2");
  CHECK(imagined.gpus[0].vendor == GpuVendor::imagined);
}

TEST_CASE("the private folder is the user's alone and goes with its owner") {
  test::Folder parent;
  fs::path path;
  {
    auto made = TmpFolder::create(environment({{"TRIREME_TMPDIR", parent.path().string()}}));
    REQUIRE(made.ok());
    TmpFolder folder = std::move(*made);
    path = folder.path();
    CHECK(path.parent_path() == parent.path());
    CHECK((fs::status(path).permissions() & fs::perms::mask) == fs::perms::owner_all);
    test::write(path / "some" / "file", "x");
  }
  CHECK(!fs::exists(path));

  const auto wrong = TmpFolder::create(environment({{"TRIREME_TMPDIR", "/nowhere"}}));
  REQUIRE(!wrong.ok());
  CHECK(wrong.error().text().find("TRIREME_TMPDIR=/nowhere: cannot make a private folder") == 0);
  // One that the system set is only a proposal; neither is one too long for sockets.
  auto other = TmpFolder::create(environment({{"TMPDIR", std::string(100, 'x')}}));
  REQUIRE(other.ok());
  CHECK(other->path().parent_path() == "/tmp");
}
