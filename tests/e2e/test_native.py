"""The native protocol: its clients and services in Python, C++ and C, on the same rank and across ranks, and HTTP on either side."""

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import harness

sys.path.insert(0, f"{harness.BUILD}/python")

from trireme.native import Client  # noqa: E402

FLOW = f"""
name: native
services:
  echo:
    command: [/usr/bin/python3, {harness.HERE}/native.py, serve, "{{socket}}"]
    env: {{TRIREME_BUILD: {harness.BUILD}}}
    api: native
    cores: 0
    concurrency: 64
    queue: 8192
    restart: {{max: 3, backoff: 10ms}}
  web:
    command: [/usr/bin/python3, {harness.HERE}/server.py, "{{port}}"]
    cores: 0
    ready: {{http: /}}
tasks:
  client:
    foreach: {{i: INSTANCES}}
    cores: 1
    command: [/usr/bin/python3, {harness.HERE}/native.py, client, WHAT]
    env: {{TRIREME_BUILD: {harness.BUILD}}}
    services: [echo, web]
"""


PROGRAMS = f"{harness.BUILD}/tests/programs"
COMPILED = f"""
name: compiled
services:
  asked:
    command: [{PROGRAMS}/native_service, "{{socket}}"]
    api: native
    cores: 0
    concurrency: 64
    queue: 8192
  batch:
    command: [{harness.BUILD}/trireme-echo, "{{socket}}", "1", "32", "2000"]
    api: native
    cores: 0
    concurrency: 64
    queue: 8192
  pair:
    command: [{PROGRAMS}/native_service, "{{socket}}"]
    replicas: 2
    api: native
    cores: 0
    concurrency: 64
    queue: 8192
    restart: {{max: 3, backoff: 10ms}}
  web:
    command: [/usr/bin/python3, {harness.HERE}/server.py, "{{port}}"]
    cores: 0
    ready: {{http: /}}
tasks:
  client:
    foreach: {{i: INSTANCES}}
    cores: 1
    command: [COMMAND]
    services: [asked, batch, pair, web]
"""


class Native(harness.TestCase):
    def compiled(self, command, instances):
        flow = COMPILED.replace("COMMAND", f"{PROGRAMS}/{command}").replace("INSTANCES", str(list(range(instances))))
        run = self.run_workflow(flow, "--worker-cores", "1", ranks=2)
        for i in range(instances):
            self.assertEqual(run.stdout_of(f"client[i={i}]").strip(), "well")
        self.assert_nothing_left()
        return run

    def test_clients_in_cpp_on_both_ranks_are_answered_by_services_in_cpp(self):
        run = self.compiled("native_client, all", 2)
        ranks = {event["rank"] for event in run.events() if event["event"] == "attempt_started"}
        self.assertEqual(ranks, {0, 1}, "a client ran on each rank")

    def test_a_client_in_c_is_answered(self):
        self.compiled("native_c_client", 2)

    def test_each_of_the_requests_that_a_dying_replica_had_has_one_end(self):
        run = self.compiled("native_client, kill", 1)
        self.assertGreaterEqual(run.summary()["services"]["pair"]["restarts"], 1)

    def clients(self, what, instances):
        flow = FLOW.replace("WHAT", what).replace("INSTANCES", str(list(range(instances))))
        run = self.run_workflow(flow, "--worker-cores", "1", ranks=2)
        for i in range(instances):
            self.assertEqual(run.stdout_of(f"client[i={i}]").strip(), "well")
        self.assert_nothing_left()
        return run

    def test_clients_on_both_ranks_are_answered_by_a_native_and_an_http_service(self):
        run = self.clients("all", 2)
        ranks = {event["rank"] for event in run.events() if event["event"] == "attempt_started"}
        self.assertEqual(ranks, {0, 1}, "a client ran on each rank")

    def test_a_replica_that_dies_fails_what_it_had_and_is_followed_by_another(self):
        run = self.clients("die", 1)
        self.assertGreaterEqual(run.summary()["services"]["echo"]["restarts"], 1)


class Alone(unittest.TestCase):
    """A Python service without a run around it."""

    DESCRIPTORS = 16

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_without_a_descriptor_left_it_waits_for_one_and_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/socket"
            service = subprocess.Popen(
                [sys.executable, f"{harness.HERE}/native.py", "serve", path], cwd=folder,
                env=dict(os.environ, TRIREME_BUILD=harness.BUILD, PYTHONDONTWRITEBYTECODE="1"),
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.DESCRIPTORS, self.DESCRIPTORS)))
            self.addCleanup(service.wait)
            self.addCleanup(service.kill)
            self.until(lambda: self.listens(path))
            with Client(path, "") as client:
                crowd = [self.connected(path) for _ in range(2 * self.DESCRIPTORS)]
                self.until(lambda: service.poll() is not None or
                           len(os.listdir(f"/proc/{service.pid}/fd")) >= self.DESCRIPTORS)
                self.assertEqual(client.request("echo", b"x").body, b"x")
            for one in crowd:
                one.close()
            with Client(path, "") as client:
                self.assertEqual(client.request("echo", b"y").body, b"y")
            self.assertIsNone(service.poll())

    def connected(self, path):
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(path)
        except OSError:
            one.close()
            raise
        return one

    def listens(self, path):
        try:
            self.connected(path).close()
        except OSError:
            return False
        return True


if __name__ == "__main__":
    unittest.main()
