#include "node/variables.hpp"

#include <doctest/doctest.h>

#include "bench.hpp"
#include "node/end_words.hpp"

using namespace trireme;

TEST_CASE("what an outer run left for its own tasks is not handed on, what people set is") {
  const std::vector<std::string> entries{"PATH=/bin",
                                         "TRIREME_TOKEN=secret",
                                         "TRIREME_SERVICE_A_URL=x",
                                         "EMPTY=",
                                         "A=b=c",
                                         "TRIREME_TMPDIR=/scratch",
                                         "nonsense",
                                         "=C:"};
  const auto base = base_variables(entries);
  CHECK(base == Variables{{"PATH", "/bin"}, {"EMPTY", ""}, {"A", "b=c"}, {"TRIREME_TMPDIR", "/scratch"}});
}

TEST_CASE("what an environment's setup changed can be applied elsewhere, without what bash sets by itself") {
  const Variables before{{"PATH", "/bin"}, {"GONE", "1"}, {"SHLVL", "1"}, {"PWD", "/a"}, {"OLDPWD", "/b"}};
  const Variables after{{"PATH", "/venv:/bin"}, {"NEW", "2"}, {"SHLVL", "2"}, {"PWD", "/c"}, {"_", "/usr/bin/env"}};
  const auto changes = changes_between(before, after);
  CHECK(changes.set == Variables{{"PATH", "/venv:/bin"}, {"NEW", "2"}});
  CHECK(changes.unset == std::vector<std::string>{"GONE"});
  Variables other{{"PATH", "/usr/bin"}, {"GONE", "3"}, {"HOME", "/h"}};
  apply(changes, other);
  CHECK(other == Variables{{"PATH", "/venv:/bin"}, {"NEW", "2"}, {"HOME", "/h"}});
}

TEST_CASE("a task is told where the proxy and each service are") {
  Variables variables;
  const std::vector<std::string> services{"llama-3", "a b"};
  add_proxy({"http://127.0.0.1:5", "/s", "token"}, services, variables);
  CHECK(variables == Variables{{"TRIREME_PROXY_URL", "http://127.0.0.1:5"},
                               {"TRIREME_SOCKET", "/s"},
                               {"TRIREME_SERVICE_LLAMA_3_URL", "http://127.0.0.1:5/services/llama-3"},
                               {"TRIREME_SERVICE_A_B_URL", "http://127.0.0.1:5/services/a%20b"},
                               {"OPENAI_BASE_URL", "http://127.0.0.1:5/v1"},
                               {"OPENAI_API_KEY", "token"},
                               {"OLLAMA_HOST", "http://127.0.0.1:5"}});
}

TEST_CASE("loopback is appended to no_proxy and NO_PROXY, each as it was") {
  Variables variables{{"no_proxy", "site.example"}, {"NO_PROXY", "*"}};
  add_no_proxy(variables);
  CHECK(variables["no_proxy"] == "site.example,127.0.0.1,localhost,::1");
  CHECK(variables["NO_PROXY"] == "*");
  Variables none;
  add_no_proxy(none);
  CHECK(none["NO_PROXY"] == "127.0.0.1,localhost,::1");
}

TEST_CASE("only the GPUs given are visible, by each vendor's own rules") {
  Variables variables{{"CUDA_VISIBLE_DEVICES", "0,1,2,3"}};
  add_gpus({}, variables);
  CHECK(variables["CUDA_VISIBLE_DEVICES"] == "0,1,2,3");
  const std::vector<NodeGpu> nvidia{{2, GpuVendor::nvidia, "2"}, {3, GpuVendor::nvidia, "GPU-x"}};
  add_gpus(nvidia, variables);
  CHECK(variables["CUDA_VISIBLE_DEVICES"] == "2,GPU-x");
  const std::vector<NodeGpu> amd{{6, GpuVendor::amd, "6"}, {7, GpuVendor::amd, "7"}};
  add_gpus(amd, variables);
  CHECK(variables == Variables{{"ROCR_VISIBLE_DEVICES", "6,7"}, {"HIP_VISIBLE_DEVICES", "0,1"}});
}

TEST_CASE("a GPU that a rehearsal gives twice is listed once") {
  Variables variables;
  add_gpus(std::vector<NodeGpu>{{0, GpuVendor::nvidia, "0"}, {0, GpuVendor::nvidia, "0"}}, variables);
  CHECK(variables == Variables{{"CUDA_VISIBLE_DEVICES", "0"}});
  variables.clear();
  add_gpus(std::vector<NodeGpu>{{3, GpuVendor::amd, "3"}, {1, GpuVendor::amd, "1"}, {3, GpuVendor::amd, "3"}},
           variables);
  CHECK(variables == Variables{{"ROCR_VISIBLE_DEVICES", "3,1"}, {"HIP_VISIBLE_DEVICES", "0,1"}});
}

TEST_CASE("GPUs are hidden from who was given none, by each vendor's own rules") {
  Variables variables{{"CUDA_VISIBLE_DEVICES", "0,1,2,3"}};
  hide_gpus(GpuVendor::nvidia, variables);
  CHECK(variables == Variables{{"CUDA_VISIBLE_DEVICES", ""}});
  variables.clear();
  hide_gpus(GpuVendor::amd, variables);
  CHECK(variables == Variables{{"ROCR_VISIBLE_DEVICES", ""}});
  variables.clear();
  hide_gpus(GpuVendor::intel, variables);
  hide_gpus(GpuVendor::imagined, variables);
  CHECK(variables.empty());
}

TEST_CASE("Intel's GPUs have a mask of their own") {
  Variables variables;
  const std::vector<NodeGpu> intel{{1, GpuVendor::intel, "1"}, {2, GpuVendor::intel, "2"}};
  add_gpus(intel, variables);
  CHECK(variables == Variables{{"ZE_AFFINITY_MASK", "1,2"}});
}

TEST_CASE("a share of a GPU says how large it is, with limits that MPS enforces where the GPU is NVIDIA's") {
  Variables variables;
  add_gpu_share({0, GpuVendor::nvidia, "0", {}, 80ull << 30}, 250, variables);
  CHECK(variables == Variables{{"TRIREME_GPU_FRACTION", "0.25"},
                               {"TRIREME_GPU_MEMORY", std::to_string((80ull << 30) / 1000 * 250)},
                               {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "25"},
                               {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=20479M"}});
  variables.clear();
  add_gpu_share({0, GpuVendor::nvidia, "0"}, 125, variables);  // its memory is not known
  CHECK(variables == Variables{{"TRIREME_GPU_FRACTION", "0.125"}, {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "13"}});
  variables.clear();
  add_gpu_share({0, GpuVendor::amd, "0", {}, 64'000'000'000}, 5, variables);
  CHECK(variables == Variables{{"TRIREME_GPU_FRACTION", "0.005"}, {"TRIREME_GPU_MEMORY", "320000000"}});
}

TEST_CASE("threads are bound to the cores given, unless somebody has said otherwise") {
  Variables variables;
  add_threads({}, variables);
  CHECK(variables.empty());
  const std::vector<NodeCore> cores{{3, 0, {3, 67}}, {4, 0, {4, 68}}};
  add_threads(cores, variables);
  CHECK(variables == Variables{{"OMP_NUM_THREADS", "2"}, {"OMP_PLACES", "{3,67},{4,68}"}});
  Variables own{{"OMP_PLACES", "sockets"}};
  add_threads(cores, own);
  CHECK(own == Variables{{"OMP_NUM_THREADS", "2"}, {"OMP_PLACES", "sockets"}});
  // Nothing is pinned on a virtual node.
  const std::vector<NodeCore> imagined{{0, 0, {}}};
  Variables rehearsal;
  add_threads(imagined, rehearsal);
  CHECK(rehearsal == Variables{{"OMP_NUM_THREADS", "1"}});
}

TEST_CASE("ends are told in words and numbers") {
  spawner::Ended ended;
  CHECK(end_of(ended, Duration{0}).outcome == Outcome::done);
  CHECK(end_of(ended, Duration{0}).reason.empty());
  ended.exit_code = 3;
  CHECK(end_of(ended, Duration{0}).reason == "exit code 3");
  ended.signo = 11;
  const auto crashed = end_of(ended, Duration{0});
  CHECK(crashed.exit_code == 139);
  CHECK(crashed.signal == 11);
  CHECK(crashed.reason == "killed by signal 11 (SIGSEGV)");
  ended.timed_out = true;
  ended.signo = 15;
  const auto late = end_of(ended, std::chrono::minutes(90));
  CHECK(late.outcome == Outcome::timeout);
  CHECK(late.reason == "ended after its timeout of 1h30m");
  const auto missing = end_of(spawner::Failed{1, ENOENT, spawner::Stage::program, "cannot run 'x'"});
  CHECK(missing.exit_code == 127);
  CHECK(missing.reason == "cannot run 'x'");
  CHECK(end_of(spawner::Failed{1, EACCES, spawner::Stage::program, ""}).exit_code == 126);
  CHECK(end_of(spawner::Failed{1, ENOENT, spawner::Stage::working_folder, ""}).exit_code == 126);
}
