// Which launch method a task gets: the table, as data, and what is said of it.
#include <doctest/doctest.h>

#include "launch/choice.hpp"

using namespace trireme;

namespace {

const std::vector<std::string_view> all{"direct", "pmix", "pmi", "dvm", "srun", "mpiexec"};
const std::vector<std::string_view> without_pmix{"direct", "pmi", "srun", "mpiexec"};

const Surroundings workstation{.built = all, .mpirun = true, .hydra = true};
const Surroundings bare{.built = all};
const Surroundings in_slurm{.built = all, .slurm_job = true, .srun = true};
const Surroundings pmixless_in_slurm{.built = without_pmix, .slurm_job = true, .srun = true, .mpirun = true};
const Surroundings pmixless{.built = without_pmix, .mpirun = true, .hydra = true};
const Surroundings pals{.built = all, .hydra = true};

ProgramMpi never_asked() {
  FAIL("the program was looked at");
  return {};
}
ProgramMpi cray() {
  return {MpiKind::mpich, true, "./a is linked to libmpi_cray.so.12"};
}
ProgramMpi unknown() {
  return {};
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("auto takes the first method of the table that works here") {
  struct Case {
    MpiKind kind;
    bool site_launcher;
    const Surroundings& here;
    std::string_view method;
  };
  const Case cases[] = {
      {MpiKind::openmpi, false, workstation, "pmix"},    {MpiKind::pmix, false, workstation, "pmix"},
      {MpiKind::mpich, false, workstation, "pmi"},       {MpiKind::openmpi, false, in_slurm, "pmix"},
      {MpiKind::mpich, false, in_slurm, "pmi"},          {MpiKind::mpich, true, in_slurm, "srun"},
      {MpiKind::mpich, true, pals, "mpiexec"},           {MpiKind::mpich, true, bare, "pmi"},
      {MpiKind::openmpi, false, pmixless, "mpiexec"},    {MpiKind::openmpi, false, pmixless_in_slurm, "srun"},
      {MpiKind::pmix, false, pmixless_in_slurm, "srun"}, {MpiKind::mpich, false, pmixless, "pmi"},
  };
  for (const Case& one : cases) {
    const auto chosen = choose_launch("auto", {one.kind, one.site_launcher, "it is so"}, one.here);
    REQUIRE(chosen.ok());
    CHECK(chosen->method == one.method);
    CHECK(chosen->why.starts_with(std::string(one.method) + ": it is so"));
  }
}

TEST_CASE("what was passed over is told, and so is that nothing works") {
  const auto passed = choose_launch("auto", {MpiKind::mpich, true, "it is Cray's"}, pals);
  REQUIRE(passed.ok());
  CHECK(passed->why == "mpiexec: it is Cray's; not srun: this run is in no Slurm job");
  const auto nothing =
      choose_launch("auto", {MpiKind::openmpi, false, "it is so"}, {.built = {"direct", "pmi", "srun"}});
  REQUIRE_FALSE(nothing.ok());
  for (const char* part :
       {"nothing here starts Open MPI tasks", "not pmix: this build", "not srun: this run is in no"}) {
    CHECK_MESSAGE(contains(nothing.error().text(), part), nothing.error().text());
  }
}

TEST_CASE("a task without mpi is started directly, whatever the launcher for MPI tasks") {
  for (const char* launcher : {"auto", "pmix", "dvm", "srun"}) {
    const auto chosen = choose_launch(launcher, mpi_of_task(MpiKind::none, &never_asked), bare);
    REQUIRE(chosen.ok());
    CHECK(chosen->method == "direct");
    CHECK(chosen->why.empty());
  }
}

TEST_CASE("--launcher overrides where that is possible, else it says why it is not") {
  const TaskMpi task{MpiKind::openmpi, false, "it is so"};
  const auto forced = choose_launch("pmi", task, workstation);
  REQUIRE(forced.ok());
  CHECK(forced->method == "pmi");
  CHECK(forced->why == "pmi: asked for by --launcher; it is so");
  const std::pair<const char*, const char*> impossible[] = {{"srun", "this run is in no Slurm job"},
                                                            {"dvm", "--dvm-uri names one"},
                                                            {"mpiexec", "no launcher of the task's MPI"},
                                                            {"flux", "this build does not have it"}};
  for (const auto& [launcher, why] : impossible) {
    const auto chosen = choose_launch(launcher, task, bare);
    REQUIRE_FALSE(chosen.ok());
    CHECK_MESSAGE(contains(chosen.error().text(), why), chosen.error().text());
  }
  Surroundings with_runtime = bare;
  with_runtime.spawn_service = true;
  CHECK(choose_launch("dvm", task, with_runtime).ok());
}

TEST_CASE("the task's word decides, then what the program is linked to, then Open MPI") {
  CHECK(mpi_of_task(MpiKind::pmix, &never_asked).why == "the task says PMIx");
  const TaskMpi said = mpi_of_task(MpiKind::mpich, &unknown);
  CHECK(said.kind == MpiKind::mpich);
  CHECK(said.why == "the task says MPICH");
  const TaskMpi relative = mpi_of_task(MpiKind::mpich, &cray);
  CHECK(relative.site_launcher);
  CHECK(relative.why == "the task says MPICH, and ./a is linked to libmpi_cray.so.12");
  const TaskMpi found = mpi_of_task(MpiKind::automatic, &cray);
  CHECK(found.kind == MpiKind::mpich);
  CHECK(found.site_launcher);
  CHECK(found.why == "./a is linked to libmpi_cray.so.12");
  const TaskMpi untold = mpi_of_task(MpiKind::automatic, &unknown);
  CHECK(untold.kind == MpiKind::openmpi);
  CHECK(contains(untold.why, "so Open MPI"));
}
