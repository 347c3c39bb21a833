"""Services that grow and shrink with their load, are started anew one replica at a time, and stay up on their own."""

import json
import os
import unittest

import harness

SERVICE = f"""
services:
  llama:
    command: [{os.path.join(harness.BUILD, "trireme-mock")}, --port, "{{port}}", --step-ms, "15"]
    replicas: {{min: 1, max: 3, cooldown: 2s}}
    ready: {{http: /health}}
    api: openai
    models: [m]
    concurrency: 2
"""


class Scaling(harness.TestCase):
    def test_replicas_follow_a_load_that_rises_and_falls_and_no_request_is_lost(self):
        run = self.run_workflow(
            f"{SERVICE}tasks:\n  load:\n    cores: 0\n    services: [llama]\n    command: [/usr/bin/python3, {harness.HERE}/load.py]\n",
            "--worker-cores", "2", ranks=2)
        said = json.loads(run.stdout_of("load"))
        self.assertEqual(said["lost"], [])
        self.assertGreater(said["answered"], 12)
        changes = [event for event in run.events() if event["event"] == "replica_changed"]
        self.assertEqual({event["replica"] for event in changes}, {0, 1, 2})
        ranks = {event["rank"] for event in changes if event["state"] == "ready"}
        self.assertEqual(ranks, {0, 1}, "replicas that are added are spread over the nodes")
        service = json.loads(self.trireme("services", run.run_dir, "--json").stdout)[0]
        self.assertEqual(service["requests"], said["answered"])
        self.assertGreater(service["replica_loads"]["0"]["p99_s"], 0.1)
        self.assertIn("P99", self.trireme("services", run.run_dir).stdout)
        self.assert_nothing_left()

    def test_services_alone_stay_up_until_stop_and_the_run_is_done(self):
        run = self.start(SERVICE, ranks=2)
        harness.wait_until(lambda: "ready" in self.states(run), "the service is ready")
        self.trireme("restart", run.run_dir, "llama")
        harness.wait_until(lambda: self.states(run) == ["ended", "ready"], "it has been started anew")
        self.assertIn("did you mean", self.trireme("restrat", run.run_dir, "llama", code=2).stderr)
        self.trireme("restart", run.run_dir, "lama", code=2)
        self.trireme("stop", run.run_dir)
        self.assertEqual(run.finish().code, 0, run.stderr)
        self.assertEqual(run.summary()["state"], "done")
        self.assert_nothing_left()

    def states(self, run):
        if not os.path.exists(os.path.join(run.run_dir, "events")):
            return []
        services = json.loads(self.trireme("services", run.run_dir, "--json").stdout)
        return [life["state"] for service in services for life in service["lives"]]

    def test_a_run_lasts_for_the_uptime_of_its_service(self):
        run = self.run_workflow(SERVICE + "    uptime: 2s\ntasks:\n  quick: {command: [/bin/true]}\n")
        times = {event["state"]: event["time"] for event in run.events() if event["event"] == "replica_changed"}
        self.assertGreaterEqual(times["draining"] - times["ready"], 1.5)
        self.assertEqual(run.summary()["tasks"]["done"], 1)


if __name__ == "__main__":
    unittest.main()
