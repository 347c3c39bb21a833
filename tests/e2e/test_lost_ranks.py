"""The run goes on when a rank dies, where the launcher permits it; and a rank that is cut off ends what it runs."""

import os
import signal
import unittest

import harness

# The first attempt waits; a later one has only to run.
FLOW = """
name: lost
tasks:
  work:
    foreach: {i: %s}
    script: |
      echo $$ > {run_dir}/pid-{i}-{attempt}
      [ {attempt} -gt 0 ] || while [ ! -e {run_dir}/go ]; do sleep 0.1; done
"""

# A group of two on three nodes, and a client that asks it when it is told to.
SERVICE_FLOW = f"""
name: lost
services:
  group:
    command: [/usr/bin/python3, {harness.HERE}/meeting.py, "{{rank}}", "2", "{{head}}", "{{head_port}}", "{{port}}"]
    ranks: 2
    ready: {{http: /}}
tasks:
  ask:
    script: |
      touch {{run_dir}}/asking
      while [ ! -e {{run_dir}}/go ]; do sleep 0.1; done
      /usr/bin/python3 {harness.HERE}/ask.py group /
    services: [group]
    cores: 0
    retries: 1
"""


@unittest.skipUnless(harness.MPI == "openmpi", "hydra ends all ranks with the first that dies")
class LostRanks(harness.TestCase):
    def start_and_wait(self, indices, *options, launcher_options=()):
        launcher = [harness.MPIEXEC, "-n", "2", "--bind-to", "none", *launcher_options]
        run = self.start(FLOW % indices, "--worker-cores", "1", *options, ranks=2, launcher=launcher)
        harness.wait_until(
            lambda: run.process.poll() is not None or all(self.pid_of(run, i) for i in indices), "all tasks run"
        )
        self.assertIsNone(run.process.poll(), "the run goes on" if run.process.poll() is None else run.finish().stderr)
        return run

    def pid_of(self, run, i, attempt=0):
        try:
            with open(os.path.join(run.run_dir, f"pid-{i}-{attempt}")) as file:
                return int(file.read() or 0)
        except FileNotFoundError:
            return 0

    def of_kind(self, run, kind):
        return [event for event in run.events() if event["event"] == kind]

    def go(self, run):
        open(os.path.join(run.run_dir, "go"), "w").close()

    def test_tasks_of_a_killed_rank_are_done_elsewhere(self):
        run = self.start_and_wait([0, 1], launcher_options=["--enable-recovery"])
        # A task may run before the log says that it does.
        started = lambda: [e["task"] for e in self.of_kind(run, "attempt_started") if e["rank"] == 1]
        harness.wait_until(started, "the log tells of the task on rank 1")
        [victim] = started()
        os.kill(harness.rank_processes(self.mark)[1], signal.SIGKILL)
        harness.wait_until(lambda: self.of_kind(run, "node_lost"), "the loss is noticed")
        self.go(run)
        run.finish()  # the launcher has its own idea of an exit code
        summary = run.summary()
        self.assertEqual((summary["state"], summary["exit_code"]), ("done", 0), run.stderr)
        self.assertEqual((summary["tasks"]["done"], summary["tasks"]["retried"]), (2, 1))
        lost = [e for e in self.of_kind(run, "attempt_ended") if e["outcome"] == "lost"]
        self.assertEqual([(e["task"], e["rank"]) for e in lost], [(victim, 1)])
        self.assert_nothing_left()

    def test_a_service_of_several_ranks_moves_from_a_killed_rank(self):
        run = self.start(SERVICE_FLOW, "--worker-cores", "1", ranks=3,
                         launcher=[harness.MPIEXEC, "-n", "3", "--bind-to", "none", "--enable-recovery"])
        harness.wait_until(lambda: run.process.poll() is not None or os.path.exists(os.path.join(run.run_dir, "asking")), "the service is ready")
        [before] = self.places(run)
        victim = next(rank for rank in before if rank != 0)
        os.kill(harness.rank_processes(self.mark)[victim], signal.SIGKILL)
        harness.wait_until(lambda: len(self.places(run)) > 1, "the service starts elsewhere")
        self.go(run)
        run.finish()
        self.assertEqual(run.summary()["state"], "done", run.stderr)
        attempt = self.of_kind(run, "attempt_ended")[-1]["attempt"]
        self.assertEqual(run.stdout_of("ask", attempt), "0 1")
        after = self.places(run)[-1]
        self.assertEqual((len(after), victim in after), (2, False))
        [reason] = [e["reason"] for e in self.of_kind(run, "replica_changed") if e["state"] == "ended" and e["reason"]]
        self.assertIn(f"node {victim} was lost", reason)
        self.assert_nothing_left()

    def places(self, run):
        """Of each life of the service the nodes of its ranks."""
        return [[part["rank"] for part in e["parts"]] for e in self.of_kind(run, "replica_changed") if "parts" in e]

    def test_a_rank_that_the_pilot_does_not_hear_ends_its_tasks(self):
        run = self.start_and_wait([0], "--dedicated-pilot")
        pilot = harness.rank_processes(self.mark)[0]
        task = self.pid_of(run, 0)
        os.kill(pilot, signal.SIGSTOP)
        harness.wait_until(lambda: not os.path.exists(f"/proc/{task}"), "the lease ends the task")
        self.assertIn(1, harness.rank_processes(self.mark))
        os.kill(pilot, signal.SIGCONT)
        run.finish()
        self.assertEqual(run.summary()["state"], "done", run.stderr)
        ends = [(e["attempt"], e["outcome"]) for e in self.of_kind(run, "attempt_ended")]
        self.assertEqual(ends, [(0, "lost"), (1, "done")])
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
