"""MPI tasks whose ranks the site's own launcher starts (`--launcher mpiexec`; srun's is tests/cluster/test_slurm.py): what they print,
how they fail, what they have used, and that nothing of them stays."""

import os
import unittest

from harness import BUILD, TestCase

PROGRAMS = os.path.join(BUILD, "tests", "programs")
DEADLINE = 180

FLOW = """
name: site
tasks:
  sum:
    command: [{programs}/mpi_task.{kind}, sum]
    ranks: 3
    mpi: true
    env: {{WHOSE: "ours"}}
  # Each rank has its own files, folder and environment, though another launcher made it.
  place:
    script: 'echo "$TRIREME_RANK $WHOSE $(pwd)"'
    ranks: 2
    mpi: {kind}
    env: {{WHOSE: "ours"}}
  crash:
    command: [{programs}/mpi_task.{kind}, crash-early, "1"]
    ranks: 2
    mpi: true
  missing:
    command: [/nonexistent/program]
    ranks: 2
    mpi: {kind}
  waits:
    command: [{programs}/mpi_task.{kind}, sleep]
    ranks: 2
    mpi: true
    timeout: 3s
"""


class ByMpiexec(TestCase):
    def check_kind(self, kind):
        flow = FLOW.format(programs=PROGRAMS, kind=kind)
        run = self.start(flow, "--worker-cores", "4", "--launcher", "mpiexec").finish(DEADLINE)
        events = run.events()
        reasons = {e["task"]: e["reason"] for e in events if e["event"] == "task_changed"}
        self.assertEqual(run.code, 1, run.stderr)
        self.assertEqual(run.stdout_of("sum"), "ranks 3 sum 3 ring 2\n", reasons)
        folder = os.path.join(run.run_dir, "tasks", "place", "0")
        for rank in range(2):
            words = run.stdout_of("place", stream="stdout" + (f".{rank}" if rank else "")).split()
            self.assertEqual(words[:3], [str(rank), "ours", folder])
        self.assertTrue(reasons["crash"].startswith("rank 1: killed by signal 11 (SIGSEGV)\nrank 1 is about to crash"), reasons)
        self.assertIn("exit code 127", reasons["missing"])
        self.assertIn("not found", reasons["missing"])
        self.assertIn("timeout", reasons["waits"])
        started = {e["task"]: e.get("launch", "") for e in events if e["event"] == "attempt_started"}
        self.assertTrue(started["sum"].startswith("mpiexec: asked for by --launcher; "), started)
        used = {e["task"]: e["max_rss"] for e in events if e["event"] == "attempt_ended"}
        self.assertGreater(used["sum"], 8 << 20)  # a library of MPI is in it; the holder alone has a few MiB
        self.assert_nothing_left()

    def test_openmpi(self):
        self.check_kind("openmpi")

    def test_mpich(self):
        self.check_kind("mpich")

    def test_srun_outside_of_a_job_says_so(self):
        flow = f"name: site\ntasks:\n  sum:\n    command: [{PROGRAMS}/mpi_task.openmpi, sum]\n    ranks: 2\n    mpi: true\n"
        environment = {name: value for name, value in self.environment().items() if not name.startswith("SLURM")}
        run = self.start(flow, "--worker-cores", "2", "--launcher", "srun", environment=environment).finish(DEADLINE)
        self.assertEqual(run.code, 1, run.stderr)
        self.assertIn("this run is in no Slurm job", run.stderr)


if __name__ == "__main__":
    unittest.main()
