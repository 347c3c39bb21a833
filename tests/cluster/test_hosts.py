"""The runtime under Open MPI's mpirun on hosts of their own (hosts.py): tasks of each kind of MPI across them."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from harness import BUILD, TestCase  # noqa: E402
from hosts import Hosts  # noqa: E402

PROGRAMS = os.path.join(BUILD, "tests", "programs")
DEADLINE = 240

FLOW = """
name: hosts
tasks:
  openmpi:
    command: [{programs}/mpi_task.openmpi, sum]
    ranks: 6
    mpi: true
  client:
    command: [{programs}/pmix_client]
    ranks: 6
    mpi: true
  abort:
    command: [{programs}/mpi_task.openmpi, abort, "5", "9"]
    ranks: 6
    mpi: true
  crash:
    command: [{programs}/mpi_task.openmpi, crash, "1"]
    ranks: 6
    mpi: true
  # MPICH 4.0 over UCX's TCP gives its answer and may then hang in MPI_Finalize: what counts is the answer.
  mpich:
    command: [{programs}/mpi_task.mpich, sum]
    ranks: 3
    cores_per_rank: 2
    mpi: true
    timeout: 20s
  plain:
    script: hostname
    ranks: 6
"""


class AcrossHosts(TestCase):
    def test_tasks_of_each_kind(self):
        with Hosts(self.folder, 3) as hosts:
            mpirun = ["mpirun.openmpi", "--mca", "plm_rsh_agent", hosts.agent, "--host", hosts.names(":1"), "-n", "3"]
            launcher = hosts.on("n0", mpirun)
            run = self.start(FLOW.format(programs=PROGRAMS), "--worker-cores", "2", ranks=3, launcher=launcher).finish(DEADLINE)
        self.assertEqual(run.code, 1, run.stderr)
        self.assertEqual(run.summary()["nodes"], 3)
        reasons = {e["task"]: (e["state"], e["reason"]) for e in run.events() if e["event"] == "task_changed"}
        self.assertEqual(run.stdout_of("openmpi"), "ranks 6 sum 15 ring 5\n", reasons)
        self.assertEqual(run.stdout_of("client"), "ranks 6 read 2121\n", reasons)
        self.assertEqual(run.stdout_of("mpich"), "ranks 3 sum 3 ring 2\n", reasons)
        self.assertTrue(reasons["abort"][1].startswith("rank 5: MPI_Abort with code 9"), reasons)
        self.assertTrue(reasons["crash"][1].startswith("rank 1: killed by signal 11"), reasons)
        for done in ("openmpi", "client", "plain"):
            self.assertEqual(reasons[done][0], "done", reasons)
        print("mpich across hosts:", reasons["mpich"], file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
