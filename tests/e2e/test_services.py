"""Requests that cross ranks: large bodies, streams, clients that go away; services that die."""

import os
import socket
import unittest

import harness

# One core a rank, so that a client runs on each; a single replica is on another rank for one of them.
FLOW = """
name: services
services:
  web:
    command: [/usr/bin/python3, HERE/server.py, "{port}", --replica, "{replica}"]
    replicas: REPLICAS
    cores: 0
    ready: {http: /}
tasks:
  client:
    foreach: {i: [0, 1]}
    cores: CORES
    command: [/usr/bin/python3, HERE/client.py, WHAT, "{i}"]
    services: [web]
"""


def flow(what, replicas=1, cores=1):
    text = FLOW.replace("HERE", harness.HERE).replace("WHAT", what)
    return text.replace("REPLICAS", str(replicas)).replace("CORES", str(cores))


class Services(harness.TestCase):
    def both_ranks(self, what, **keywords):
        """Runs client.py on both ranks; one of them has no replica of its own."""
        run = self.run_workflow(flow(what, **keywords), "--worker-cores", "1", ranks=2)
        ranks = {event["rank"] for event in run.events() if event["event"] == "attempt_started"}
        self.assertEqual(ranks, {0, 1}, "a client ran on each rank")
        self.assert_nothing_left()
        return run

    def test_a_64_mib_body_comes_back_byte_by_byte_with_bounded_memory(self):
        run = self.both_ranks("large")
        for i in range(2):
            print(run.stdout_of(f"client[i={i}]").strip())

    def test_the_first_event_of_a_stream_arrives_before_the_last_is_produced(self):
        self.both_ranks("events")

    def test_a_client_that_disconnects_is_seen_by_the_service(self):
        self.both_ranks("disconnect")

    def test_both_replicas_answer(self):
        run = self.both_ranks("spread", replicas=2)
        requests = run.summary()["services"]["web"]["replica_requests"]
        self.assertEqual(len(requests), 2)

    def test_a_service_that_dies_while_starting_fails_loudly(self):
        run = self.run_workflow(
            "name: t\nservices:\n  bad:\n    script: |\n      echo some last words >&2\n      exit 7\n    env: {PORT: '{port}'}\n    restart: {max: 1, backoff: 10ms}\n"
            "tasks:\n  never:\n    command: [/bin/true]\n    services: [bad]\n  other:\n    command: [/bin/true]\n", code=1)
        self.assertIn("some last words", run.stderr)
        summary = run.summary()
        self.assertEqual((summary["tasks"]["skipped"], summary["tasks"]["done"]), (1, 1))
        self.assertEqual(summary["services"]["bad"]["restarts"], 1)
        self.assert_nothing_left()

    def test_a_port_that_is_taken_is_no_readiness(self):
        # Our server insists on a port that another one has; what answers there is not ours.
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        run = self.run_workflow(
            f"name: t\nservices:\n  web:\n    command: [/usr/bin/python3, {harness.HERE}/server.py, '{port}']\n    env: {{PORT: '{{port}}'}}\n    restart: {{max: 0}}\n"
            "tasks:\n  ask:\n    command: [/bin/true]\n    services: [web]\n", code=1)
        listener.close()
        self.assertIn("Address already in use", run.stderr)
        self.assert_nothing_left()

    def test_a_service_that_dies_is_restarted_and_requests_go_on(self):
        run = self.run_workflow(flow("kill", cores=0), ranks=2)
        self.assertGreaterEqual(run.summary()["services"]["web"]["restarts"], 1)
        self.assert_nothing_left()


class Shares(harness.TestCase):
    def test_tasks_that_share_a_gpu_run_beside_each_other_on_it_and_know_their_share(self):
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)
        gate = os.open(pipe, os.O_RDWR)
        self.addCleanup(os.close, gate)
        run = self.start(f"""
name: shares
tasks:
  share:
    foreach: {{i: [0, 1, 2, 3]}}
    gpus: 0.25
    script: |
      touch {self.folder}/there-{{i}}
      read -n 1 word < {pipe}
      echo "$CUDA_VISIBLE_DEVICES $TRIREME_GPU_FRACTION"
""", "--worker-cores", "4", "--worker-gpus", "1")
        harness.wait_until(lambda: len([name for name in os.listdir(self.folder) if name.startswith("there-")]) == 4, "all four run at once")
        os.write(gate, b"gggg")
        self.assertEqual(run.finish().code, 0, run.stderr)
        told = {run.stdout_of(f"share[i={i}]").strip() for i in range(4)}
        self.assertEqual(len(told), 1)
        self.assertRegex(told.pop(), r"^\S+ 0\.25$")


if __name__ == "__main__":
    unittest.main()
