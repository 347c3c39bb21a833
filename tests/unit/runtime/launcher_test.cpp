#include "runtime/launcher.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace trireme;

namespace {

EnvironmentLookup environment(std::map<std::string, std::string, std::less<>> variables) {
  return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

}  // namespace

TEST_CASE("a launcher that started several lone processes is refused, and both sides are named") {
  const auto under_hydra = check_launcher(environment({{"PMI_SIZE", "3"}}), 1, "Open MPI");
  REQUIRE(!under_hydra);
  CHECK(under_hydra.error().code == ExitCode::runtime_failed);
  CHECK(under_hydra.error().what.find("hydra") != std::string::npos);
  CHECK(under_hydra.error().what.find("Open MPI") != std::string::npos);

  const auto under_mpirun = check_launcher(environment({{"OMPI_COMM_WORLD_SIZE", "3"}}), 1, "MPICH");
  REQUIRE(!under_mpirun);
  CHECK(under_mpirun.error().what.find("mpirun") != std::string::npos);
  CHECK(under_mpirun.error().what.find("MPICH") != std::string::npos);
}

TEST_CASE("a fitting launcher, one process, and none at all are fine") {
  CHECK(check_launcher(environment({{"OMPI_COMM_WORLD_SIZE", "3"}}), 3, "Open MPI").ok());
  CHECK(check_launcher(environment({{"PMI_SIZE", "1"}}), 1, "Open MPI").ok());
  CHECK(check_launcher(environment({}), 1, "Open MPI").ok());
  CHECK(check_launcher(environment({{"PMI_SIZE", "many"}}), 1, "Open MPI").ok());
}

TEST_CASE("an mpirun inside a Slurm step is known as mpirun, and only hydra signals dead ranks") {
  const auto inner = find_launcher(environment({{"SLURM_STEP_NUM_TASKS", "8"}, {"OMPI_COMM_WORLD_SIZE", "2"}}));
  REQUIRE(inner);
  CHECK(inner->processes == 2);
  CHECK(!inner->signals_dead_ranks);
  CHECK(inner->kills_soon);
  CHECK(find_launcher(environment({{"PMI_SIZE", "2"}}))->signals_dead_ranks);
  CHECK(!find_launcher(environment({{"SLURM_STEP_NUM_TASKS", "8"}}))->signals_dead_ranks);
  CHECK(!find_launcher(environment({{"SLURM_STEP_NUM_TASKS", "8"}}))->kills_soon);
}
