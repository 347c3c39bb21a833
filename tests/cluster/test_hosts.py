"""The runtime under Open MPI's mpirun on hosts of their own (hosts.py): tasks of each kind of MPI across them, and services of
several ranks."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from harness import BUILD, TestCase  # noqa: E402
from hosts import Hosts  # noqa: E402

E2E = os.path.join(os.path.dirname(HERE), "e2e")
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

SERVICES = """
name: services
services:
  sim:
    command: [{programs}/mpi_service.openmpi, "{{port}}"]
    ranks: 6
    mpi: true
    ready: {{http: /, timeout: 120s}}
  group:
    command: [/usr/bin/python3, {e2e}/meeting.py, "{{rank}}", "3", "{{head}}", "{{head_port}}", "{{port}}"]
    ranks: 3
    ranks_per_node: 1
    cores: 0
    ready: {{http: /}}
tasks:
  ask_sim:
    command: [/usr/bin/python3, {e2e}/ask.py, sim, /pids]
    services: [sim]
    cores: 0
  ask_group:
    command: [/usr/bin/python3, {e2e}/ask.py, group, /]
    services: [group]
    cores: 0
"""


class AcrossHosts(TestCase):
    def run_on_hosts(self, flow):
        with Hosts(self.folder, 3) as hosts:
            mpirun = ["mpirun.openmpi", "--mca", "plm_rsh_agent", hosts.agent, "--host", hosts.names(":1"), "-n", "3"]
            launcher = hosts.on("n0", mpirun)
            flow = flow.format(programs=PROGRAMS, e2e=E2E)
            return self.start(flow, "--worker-cores", "2", ranks=3, launcher=launcher).finish(DEADLINE)

    def test_services_of_several_ranks(self):
        run = self.run_on_hosts(SERVICES)
        self.assertEqual(run.code, 0, run.stderr)
        self.assertEqual(run.stdout_of("ask_sim").split()[0], "6")
        self.assertEqual(run.stdout_of("ask_group"), "0 1 2")
        places = {e["service"]: e["parts"] for e in run.events() if e["event"] == "replica_changed" and "parts" in e}
        self.assertEqual(places["sim"], [{"rank": rank, "local_ranks": 2} for rank in range(3)])
        self.assertEqual(sorted(part["rank"] for part in places["group"]), [0, 1, 2])

    def test_tasks_of_each_kind(self):
        run = self.run_on_hosts(FLOW)
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
