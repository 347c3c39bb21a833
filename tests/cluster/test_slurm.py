"""The runtime in jobs of a real Slurm (slurm.py): under `srun --mpi=pmix` or `--mpi=pmi2`, and by `sbatch` with our template.

Open MPI of Debian speaks PMIx to Slurm, MPICH speaks PMI-2: which one is tested is the build's.
"""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import harness  # noqa: E402
from harness import BUILD, MPI, SOURCE, TRIREME, TestCase  # noqa: E402
from slurm import Slurm  # noqa: E402

PROGRAMS = os.path.join(BUILD, "tests", "programs")
PLUGIN = {"openmpi": "pmix", "mpich": "pmi2"}[MPI]
NODES = 2
DEADLINE = 120

# Prepared, done in parts by ranks on both nodes, collected: plain tasks around MPI tasks of each kind.
FLOW = f"""
name: slurm
tasks:
  prepare:
    script: echo 3 > number
    outputs: [{{from: number, to: "{{run_dir}}/number"}}]
  square:
    foreach: {{i: 1-4}}
    script: n=$(cat {{run_dir}}/number); echo $(( n * {{i}} * {{i}} )) > {{run_dir}}/square-{{i}}
    after: [prepare]
  openmpi:
    command: [{PROGRAMS}/mpi_task.openmpi, sum]
    ranks: 4
    mpi: true
    after: [prepare]
  # On one node, each node in its turn: MPICH 4.0 across hosts may hang in MPI_Finalize.
  mpich:
    foreach: {{i: 1-4}}
    command: [{PROGRAMS}/mpi_task.mpich, sum]
    ranks: 2
    ranks_per_node: 2
    mpi: true
    after: [prepare]
  where:
    script: hostname
    ranks: 4
  collect:
    script: cat {{run_dir}}/square-* | awk '{{s += $1}} END {{print s}}'
    after: [square, openmpi, mpich]
"""


class InSlurm(TestCase):
    @classmethod
    def setUpClass(cls):
        # One Slurm for all tests, in a folder that outlives each of them.
        cls.place = harness.tempfile.mkdtemp(prefix="trireme-slurm-")
        cls.addClassCleanup(harness.shutil.rmtree, cls.place, ignore_errors=True)
        cls.slurm = Slurm(cls.place, NODES, cores=2)
        cls.slurm.__enter__()
        cls.addClassCleanup(cls.slurm.__exit__)

    def check(self, run):
        self.assertEqual(run.code, 0, run.stderr + run.stdout + self.slurm.last_words())
        self.assertEqual((run.summary()["state"], run.summary()["ranks"], run.summary()["nodes"]), ("done", NODES, NODES))
        self.assertEqual(run.stdout_of("openmpi"), "ranks 4 sum 6 ring 3\n")
        for i in range(1, 5):
            self.assertEqual(run.stdout_of(f"mpich[i={i}]"), "ranks 2 sum 1 ring 1\n")
        placed = {e["rank"] for e in run.events() if e["event"] == "attempt_placed" and e["task"].startswith("mpich")}
        self.assertEqual(placed, set(range(NODES)))
        self.assertEqual(run.stdout_of("collect"), "90\n")
        names = {run.stdout_of("where", stream="stdout" + (f".{rank}" if rank else "")).strip() for rank in range(4)}
        self.assertEqual(names, {"n1", "n2"})

    def test_srun(self):
        srun = ["srun", f"--mpi={PLUGIN}", f"-N{NODES}", "--ntasks-per-node=1", "--cpus-per-task=2", "--cpu-bind=none"]
        environment = self.slurm.environment(self.environment())
        run = self.start(FLOW, ranks=NODES, launcher=self.slurm.on_head(srun), environment=environment)
        self.check(run.finish(DEADLINE))
        self.assert_nothing_left()

    def test_tasks_as_steps_of_srun(self):
        srun = ["srun", f"--mpi={PLUGIN}", f"-N{NODES}", "--ntasks-per-node=1", "--cpus-per-task=2", "--cpu-bind=none"]
        environment = self.slurm.environment(self.environment())
        run = self.start(FLOW, "--launcher", "srun", ranks=NODES, launcher=self.slurm.on_head(srun), environment=environment)
        self.check(run.finish(DEADLINE))
        started = {e["task"]: e.get("launch", "") for e in run.events() if e["event"] == "attempt_started"}
        for name in ("openmpi", "mpich[i=1]"):
            self.assertTrue(started[name].startswith("srun: asked for by --launcher"), started)
        self.assert_nothing_left()

    def test_sbatch_with_the_template(self):
        template = os.path.join(SOURCE, "launch", "sites", "slurm.sh")
        flow = self.workflow(FLOW)
        run_dir = os.path.join(self.folder, "run")
        environment = self.environment(TRIREME=TRIREME, TRIREME_MPI=PLUGIN)
        words = ["sbatch", "--wait", f"--nodes={NODES}", f"--output={self.folder}/job.out", template, flow, "--run-dir", run_dir]
        job = self.slurm.run(words, environment, timeout=DEADLINE)
        with open(os.path.join(self.folder, "job.out")) as file:
            out = file.read()
        self.assertEqual(job.returncode, 0, job.stderr + out + self.slurm.last_words())
        # What the checks ask of a run, for one that was no child of ours.
        run = harness.Run(harness.subprocess.CompletedProcess(words, job.returncode), run_dir, self.mark)
        self.check(run)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
