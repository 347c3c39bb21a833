"""Services of several ranks over several nodes: one endpoint, one life for all."""

import os
import unittest

import harness
from test_mpi import KINDS, METHOD, program

ASK = os.path.join(harness.HERE, "ask.py")
MPI_FLOW = """
name: service-ranks
services:
  sim:
    command: [PROGRAM, "{port}"]
    ranks: 6
    mpi: true
    ready: {http: /, timeout: 120s}
    restart: {max: 2, backoff: 10ms}
tasks:
  ask:
    foreach: {i: [0, 1, 2]}
    cores: 0
    command: [/usr/bin/python3, ASK, sim, PATHS]
    services: [sim]
"""


def replicas(run):
    return [event for event in run.events() if event["event"] == "replica_changed"]


class Mpi(harness.TestCase):
    def run_flow(self, kind, *paths):
        text = MPI_FLOW.replace("PROGRAM", program("mpi_service", kind)).replace("ASK", ASK).replace("PATHS", ", ".join(paths))
        return self.run_workflow(text, "--worker-cores", "2", ranks=3)

    def check_kind(self, kind):
        run = self.run_flow(kind, "/pids")
        answers = {run.stdout_of(f"ask[i={i}]") for i in range(3)}
        self.assertEqual(len(answers), 1, "each asked the same six processes")
        size, *pids = answers.pop().split()
        self.assertEqual((size, len(set(pids))), ("6", 6))
        events = replicas(run)
        self.assertEqual(events[0]["parts"], [{"rank": rank, "local_ranks": 2} for rank in range(3)])
        self.assertTrue(events[1]["launch"].startswith(METHOD[kind] + ": "), events[1])
        service = run.summary()["services"]["sim"]
        self.assertEqual((service["requests"], service["restarts"]), (3, 0))
        self.assert_nothing_left()

    def check_loss_of_a_rank(self, kind):
        run = self.run_flow(kind, "/exit/4/9", "/pids")
        for i in range(3):
            self.assertEqual(run.stdout_of(f"ask[i={i}]").split()[0], "6")
        ends = [event["reason"] for event in replicas(run) if event["state"] == "ended" and event["reason"]]
        self.assertIn("rank 4: exit code 9", ends[0])
        self.assertGreaterEqual(run.summary()["services"]["sim"]["restarts"], 1)
        self.assert_nothing_left()


def add_kinds():
    for kind in KINDS:
        setattr(Mpi, f"test_{kind}_on_three_nodes", lambda self, kind=kind: self.check_kind(kind))
        setattr(Mpi, f"test_{kind}_that_loses_a_rank_starts_again", lambda self, kind=kind: self.check_loss_of_a_rank(kind))


add_kinds()


class Plain(harness.TestCase):
    FLOW = f"""
name: meeting
services:
  group:
    command: [/usr/bin/python3, {harness.HERE}/meeting.py, "{{rank}}", "3", "{{head}}", "{{head_port}}", "{{port}}"]
    replicas: 2
    ranks: 3
    ranks_per_node: 1
    ready: {{http: /}}
tasks:
  ask:
    foreach: {{i: [0, 1, 2, 3]}}
    cores: 0
    command: [/usr/bin/python3, {ASK}, group, /]
    services: [group]
"""

    def test_ranks_meet_at_the_head_and_each_replica_is_one_endpoint(self):
        run = self.run_workflow(self.FLOW, "--worker-cores", "2", ranks=3)
        self.assertEqual({run.stdout_of(f"ask[i={i}]") for i in range(4)}, {"0 1 2"})
        parts = [event["parts"] for event in replicas(run) if "parts" in event]
        self.assertEqual([sorted(part["rank"] for part in one) for one in parts], [[0, 1, 2]] * 2)
        folder = os.path.join(run.run_dir, "services", "group", "0", "0")
        self.assertLessEqual({"stdout", "stdout.1", "stdout.2", "stderr", "stderr.1", "stderr.2"}, set(os.listdir(folder)))
        self.assert_nothing_left()

    def test_plan_shows_where_the_ranks_would_be(self):
        plan = self.trireme("plan", self.workflow(self.FLOW), "--nodes", "3", "--worker-cores", "2")
        self.assertIn("(3 ranks of 1 core;", plan.stdout)
        self.assertRegex(plan.stdout, r"group/1  rank \d, rank \d, rank \d")

    def test_what_fits_no_set_of_nodes_is_told_before_anything_starts(self):
        run = self.run_workflow(self.FLOW, "--worker-cores", "2", ranks=2, code=3)
        self.assertIn("service group needs 2 x 3 ranks with 1 core each, 1 on each node", run.stderr)


if __name__ == "__main__":
    unittest.main()
