// The command lines of the site's launchers.
#include <doctest/doctest.h>

#include <algorithm>

#include "launch/step/commands.hpp"

using namespace trireme;
using namespace trireme::step;

namespace {

bool has(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string after(const std::vector<std::string>& words, std::string_view word) {
  const auto found = std::find(words.begin(), words.end(), word);
  return found == words.end() || found + 1 == words.end() ? "" : *(found + 1);
}

}  // namespace

TEST_CASE("srun is told the host of each rank in the order of ranks, and overlaps the runtime's own step") {
  const Placement placement{MpiKind::openmpi, {{"n2", 2}, {"n1", 1}, {"n2", 1}}, ""};
  CHECK(host_file(placement) == "n2\nn2\nn1\nn2\n");
  const auto words = srun_command(placement, {"shim", "rank", "name"});
  for (const char* word : {"--overlap", "--nodes=2", "--ntasks=4", "--distribution=arbitrary", "--mpi=pmix"}) {
    CHECK_MESSAGE(has(words, word), word);
  }
  CHECK(std::vector(words.end() - 3, words.end()) == std::vector<std::string>{"shim", "rank", "name"});
  CHECK(has(srun_command({MpiKind::mpich, {{"n1", 1}}, ""}, {"shim"}), "--mpi=pmi2"));
  CHECK(has(srun_command({MpiKind::mpich, {{"n1", 1}}, "cray_shasta"}, {"shim"}), "--mpi=cray_shasta"));
}

TEST_CASE("Open MPI's mpirun and MPICH's hydra are told hosts and ranks in their own words") {
  const std::vector<std::pair<std::string, std::uint32_t>> hosts{{"n1", 2}, {"n2", 1}};
  const auto openmpi = mpiexec_command("/usr/bin/mpirun", {MpiKind::openmpi, hosts, ""}, {"shim"});
  CHECK(openmpi.front() == "/usr/bin/mpirun");
  CHECK(after(openmpi, "--host") == "n1:2,n2:1");
  CHECK(after(openmpi, "-n") == "3");
  CHECK(after(openmpi, "--bind-to") == "none");
  const auto mpich = mpiexec_command("mpiexec", {MpiKind::mpich, hosts, ""}, {"shim"});
  CHECK(after(mpich, "-hosts") == "n1:2,n2:1");
  CHECK(after(mpich, "-n") == "3");
  CHECK(mpich.back() == "shim");
}
