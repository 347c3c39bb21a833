"""After success, failure, Ctrl-C and kill -9 of each rank in turn nothing is left behind, and the log is readable."""

import os
import signal
import unittest

import harness

FLOW = f"""
name: left
services:
  web:
    command: [/usr/bin/python3, {harness.HERE}/server.py, "{{port}}"]
    replicas: 2
    cores: 0
    ready: {{http: /}}
tasks:
  tree:
    # A process tree that does its best to survive: in sessions of its own, deaf to TERM.
    foreach: {{i: [0, 1, 2]}}
    cores: 0
    script: |
      trap '' TERM
      setsid bash -c "trap '' TERM; sleep 600 & sleep 600" &
      touch up
      sleep 600
    services: [web]
"""


class NothingLeft(harness.TestCase):
    def started(self, ranks, environment=None, launcher=None):
        run = self.start(FLOW, ranks=ranks, environment=environment, launcher=launcher)
        paths = [os.path.join(run.run_dir, "tasks", f"tree[i={i}]".replace("[", "%5B").replace("]", "%5D"), "0", "up") for i in range(3)]
        harness.wait_until(lambda: run.process.poll() is not None or all(map(os.path.exists, paths)), "all tasks run")
        self.assertIsNone(run.process.poll(), "the run goes on" if run.process.poll() is None else run.finish().stderr)
        return run

    def assert_readable(self, run):
        self.assertEqual(run.events()[0]["event"], "run_started")
        self.trireme("status", run.run_dir)

    def test_after_an_interrupt_of_one_rank(self):
        run = self.started(None)
        run.process.send_signal(signal.SIGINT)
        harness.wait_until(lambda: any(event["event"] == "run_draining" for event in run.events()), "the run drains")
        run.process.send_signal(signal.SIGINT)
        run.finish()
        self.assertEqual(run.code, 130, run.stderr)
        self.assertEqual(run.summary()["state"], "interrupted")
        self.assert_nothing_left()
        self.assert_readable(run)

    def test_after_an_interrupt_of_the_launcher(self):
        run = self.started(3)
        run.process.send_signal(signal.SIGINT)
        run.finish()
        self.assert_processes_gone(run)

    def test_a_run_whose_launcher_is_interrupted_says_how_far_it_came(self):
        # Open MPI's sends SIGTERM, and SIGKILL a second later, which is enough where the machine has nothing else to do.
        run = self.start("name: t\ntasks: {long: {command: [sleep, '600']}}\n", ranks=2, environment=self.environment(OMPI_MCA_odls_base_sigkill_timeout="5"))
        harness.wait_until(lambda: os.path.exists(f"{run.run_dir}/tasks/long/0/stdout"), "the task runs")
        run.process.send_signal(signal.SIGINT)
        if harness.MPI == "mpich":
            harness.wait_until(lambda: any(event["event"] == "run_draining" for event in run.events()), "the run drains")
            self.trireme("stop", run.run_dir, "--kill")
        run.finish()
        self.assertEqual(run.summary()["state"], "interrupted")
        self.assert_processes_gone(run)

    def test_after_the_terminal_is_gone(self):
        run = self.started(None)
        run.process.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: any(event["event"] == "run_draining" for event in run.events()), "the run drains")
        run.process.send_signal(signal.SIGHUP)
        run.finish()
        self.assertEqual(run.code, 75, run.stderr)
        self.assert_processes_gone(run)

    def test_after_kill_9_of_a_single_rank(self):
        run = self.started(None)
        run.process.kill()
        run.finish()
        self.assert_processes_gone(run)

    def test_after_kill_9_of_each_rank_in_turn(self):
        for rank in range(3):
            with self.subTest(rank=rank):
                run = self.started(3)
                os.kill(harness.rank_processes(self.mark)[rank], signal.SIGKILL)
                run.finish()
                self.assertNotEqual(run.code, 0)
                self.assert_processes_gone(run)
                os.rename(run.run_dir, run.run_dir + f"-{rank}")

    def assert_processes_gone(self, run):
        self.assert_nothing_left()
        self.assert_readable(run)


if __name__ == "__main__":
    unittest.main()
