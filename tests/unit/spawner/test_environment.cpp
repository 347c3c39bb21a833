// A task's environment says nothing about the rank that started it, and keeps what people and sites set.
#include <doctest/doctest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "fixture.hpp"
#include "node/spawner/environment.hpp"

using namespace trireme;
using namespace trireme::test;

extern "C" char** environ;

TEST_CASE("what launchers say about our job is recognised") {
  for (const char* name : {"OMPI_COMM_WORLD_RANK",
                           "OMPI_COMM_WORLD_LOCAL_SIZE",
                           "OMPI_UNIVERSE_SIZE",
                           "OMPI_COMMAND",
                           "OMPI_FILE_LOCATION",
                           "OMPI_APP_CTX_NUM_PROCS",
                           "OMPI_FIRST_RANKS",
                           "OMPI_NUM_APP_CTX",
                           "OMPI_MCA_orte_hnp_uri",
                           "OMPI_MCA_orte_local_daemon_uri",
                           "OMPI_MCA_orte_launch",
                           "OMPI_MCA_ess",
                           "OMPI_MCA_ess_base_jobid",
                           "OMPI_MCA_pmix",
                           "OMPI_MCA_initial_wdir",
                           "OMPI_MCA_rmaps_base_mapping_policy",
                           "OMPI_MCA_hwloc_base_binding_policy",
                           "OMPI_MCA_shmem_RUNTIME_QUERY_hint",
                           "PMIX_RANK",
                           "PMIX_NAMESPACE",
                           "PMIX_SERVER_URI41",
                           "PMIX_GDS_MODULE",
                           "PMI_RANK",
                           "PMI_FD",
                           "PMI_SIZE",
                           "PMI_CRAY_NO_SMP_ORDER",
                           "PRTE_LAUNCHED",
                           "PRTE_MCA_ess_base_jobid",
                           "ORTE_SCHIZO_DETECTION",
                           "SLURM_STEP_ID",
                           "SLURM_STEPID",
                           "SLURM_STEP_NODELIST",
                           "SLURM_PROCID",
                           "SLURM_LOCALID",
                           "SLURM_GTIDS",
                           "SLURM_TASK_PID",
                           "SLURM_SRUN_COMM_HOST",
                           "SLURM_CPU_BIND",
                           "SLURM_CPU_BIND_LIST",
                           "SLURM_NTASKS",
                           "SLURM_NTASKS_PER_NODE",
                           "SLURM_CPUS_PER_TASK",
                           "SLURM_PMIX_MAPPING_SERV",
                           "PALS_RANKID",
                           "PALS_APID",
                           "MPI_LOCALRANKID",
                           "MPI_LOCALNRANKS",
                           "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
                           "HYDRA_USER_PROVIDED_BINDING",
                           "HYDI_CONTROL_FD",
                           "FLUX_TASK_RANK",
                           "FLUX_JOB_ID",
                           "JSM_NAMESPACE_RANK",
                           "TRIREME_RANK",
                           "TRIREME_ATTEMPT"}) {
    CAPTURE(name);
    CHECK(is_launcher_variable(name));
  }
}

TEST_CASE("what people, sites and the allocation set is left alone") {
  for (const char* name : {"PATH",
                           "HOME",
                           "LD_LIBRARY_PATH",
                           "OMP_NUM_THREADS",
                           "CUDA_VISIBLE_DEVICES",
                           "OPAL_PREFIX",
                           "OMPI_ALLOW_RUN_AS_ROOT",
                           "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_CC",
                           "OMPI_CXXFLAGS",
                           "OMPI_MCA_pml",
                           "OMPI_MCA_btl",
                           "OMPI_MCA_btl_tcp_if_include",
                           "OMPI_MCA_plm_rsh_agent",
                           "PMIX_MCA_gds",
                           "PMIX_MCA_psec",
                           "PRTE_MCA_plm_rsh_agent",
                           "PRTE_ALLOW_RUN_AS_ROOT",
                           "HYDRA_IFACE",
                           "HYDRA_LAUNCHER",
                           "MPIR_CVAR_CH4_NETMOD",
                           "UCX_TLS",
                           "FI_PROVIDER",
                           "SLURM_JOB_ID",
                           "SLURM_JOBID",
                           "SLURM_JOB_NODELIST",
                           "SLURM_NODELIST",
                           "SLURM_NNODES",
                           "SLURM_CPUS_ON_NODE",
                           "SLURM_JOB_CPUS_PER_NODE",
                           "SLURM_CONF",
                           "PBS_NODEFILE",
                           "LSB_HOSTS",
                           "FLUX_URI",
                           "TRIREME_TMPDIR",
                           "TRIREME_SPAWNER",
                           "OMPIX",
                           "SLURM"}) {
    CAPTURE(name);
    CHECK_FALSE(is_launcher_variable(name));
  }
}

TEST_CASE("scrubbing keeps the order and the exact text of what stays") {
  const std::vector<std::string> environment{"A=1", "PMI_RANK=0", "B==x=", "PMIX_RANK=1", "C", "D="};
  CHECK(scrub(environment) == std::vector<std::string>{"A=1", "B==x=", "C", "D="});
  const char* const raw[] = {"A=1", "OMPI_COMM_WORLD_RANK=3", nullptr};
  CHECK(scrub(raw) == std::vector<std::string>{"A=1"});
}

TEST_CASE("a nested mpirun sees the job's cores as slots, not our one rank per node") {
  CHECK(scrub(std::vector<std::string>{"SLURM_TASKS_PER_NODE=1(x2)", "SLURM_JOB_CPUS_PER_NODE=64(x2)"}) ==
        std::vector<std::string>{"SLURM_TASKS_PER_NODE=64(x2)", "SLURM_JOB_CPUS_PER_NODE=64(x2)"});
  CHECK(scrub(std::vector<std::string>{"SLURM_TASKS_PER_NODE=1(x2)"}) ==
        std::vector<std::string>{"SLURM_TASKS_PER_NODE=1(x2)"});
}

namespace {

// Runs `command` to its end with our environment and root's leave to use mpirun; its exit code.
int exit_code_of(std::vector<std::string> command, const std::string& out) {
  std::vector<std::string> env;
  for (char** entry = environ; *entry != nullptr; ++entry) env.emplace_back(*entry);
  env.push_back("OMPI_ALLOW_RUN_AS_ROOT=1");
  env.push_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1");
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (auto& word : command) argv.push_back(word.data());
  for (auto& entry : env) envp.push_back(entry.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = 0;
  REQUIRE(posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), envp.data()) == 0);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool installed(const char* program) {
  return std::system((std::string("command -v ") + program + " >/dev/null 2>&1").c_str()) == 0;
}

}  // namespace

TEST_CASE("a task of a rank under mpirun may itself call mpirun") {
  if (!installed("mpirun")) {
    MESSAGE("no mpirun here: not tested");
    return;
  }
  Scratch scratch;
  const auto out = scratch.path("out");
  const int code = exit_code_of({"mpirun", "-n", "1", TRIREME_TEST_RANK, TRIREME_TEST_SPAWNER, unique_run_id(), "task",
                                 "mpirun", "-n", "1", "echo", "inner", "task"},
                                out);
  INFO(contents(out));
  CHECK(code == 0);
  CHECK(contents(out).find("inner task") != std::string::npos);
}

TEST_CASE("a task of a rank under hydra may itself call mpiexec") {
  if (!installed("mpiexec.hydra")) {
    MESSAGE("no hydra here: not tested");
    return;
  }
  Scratch scratch;
  const auto out = scratch.path("out");
  const int code = exit_code_of({"mpiexec.hydra", "-n", "1", TRIREME_TEST_RANK, TRIREME_TEST_SPAWNER, unique_run_id(),
                                 "task", "mpiexec.hydra", "-n", "2", "echo", "inner"},
                                out);
  INFO(contents(out));
  CHECK(code == 0);
  CHECK(contents(out).find("inner\ninner\n") != std::string::npos);
}
