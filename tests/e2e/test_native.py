"""The native protocol: its clients and services in Python, C++ and C, on the same rank and across ranks, and HTTP on either side."""

import array
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import harness

sys.path.insert(0, f"{harness.BUILD}/python")

import native  # noqa: E402
from trireme import TriremeError  # noqa: E402
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
    """An end in Python without a run around it."""

    DESCRIPTORS = 16
    PREFACE = b"\0TRIREME"
    WELCOME = struct.pack("<IBBHQHII", 10, 2, 0, 0, 0, 1, 256 << 10, 1024)

    def service(self, how, folder, **options):
        path = f"{folder}/socket"
        service = subprocess.Popen(
            [sys.executable, f"{harness.HERE}/native.py", how, path], cwd=folder,
            env=dict(os.environ, TRIREME_BUILD=harness.BUILD, PYTHONDONTWRITEBYTECODE="1"), **options)
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        self.until(lambda: self.listens(path))
        return service, path

    def client_of_nobody(self, folder):
        """A client that was let in, of a proxy that says and takes nothing more."""
        path = f"{folder}/proxy"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen(1)

        def welcome():
            proxy, _ = listener.accept()
            self.addCleanup(proxy.close)
            proxy.sendall(self.WELCOME)

        thread = threading.Thread(target=welcome)
        thread.start()
        client = Client(path, "")
        thread.join()
        self.addCleanup(client.close)
        return client

    def test_an_answer_that_is_none_fails_its_own_request(self):
        for how in ("serve", "serve-in-place"):
            with self.subTest(how), tempfile.TemporaryDirectory() as folder:
                _, path = self.service(how, folder)
                with Client(path, "") as client:
                    for what in native.WRONG:
                        self.assertEqual(client.request("echo", path=f"/wrong/{what}", timeout=60).status, 500, what)
                    for what in native.RAISED:
                        self.assertEqual(client.request("echo", path=f"/raise/{what}", timeout=60).status, 500, what)
                    self.assertEqual(client.request("echo", b"after", timeout=60).body, b"after")

    def test_any_buffer_is_a_body(self):
        with tempfile.TemporaryDirectory() as folder:
            _, path = self.service("serve", folder)
            with Client(path, "") as client:
                numbers = array.array("d", range(100_000))
                for body in (numbers, memoryview(numbers[:3]), bytearray(b"abc")):
                    self.assertEqual(bytes(client.request("echo", body, timeout=60).body), memoryview(body).tobytes())

    def test_a_service_asks_for_a_hello_first(self):
        with tempfile.TemporaryDirectory() as folder:
            _, path = self.service("serve", folder)
            with self.connected(path) as caller:
                caller.settimeout(60)
                payload = struct.pack("<QB", 0, 4) + b"POST" + struct.pack("<H", 1) + b"/" + bytes(2)
                caller.sendall(self.PREFACE + struct.pack("<IBBHQ", len(payload), 3, 1, 0, 1) + payload)
                self.assertEqual(caller.recv(100), b"")

    def test_what_is_no_request_does_not_leave(self):
        with tempfile.TemporaryDirectory() as folder:
            _, path = self.service("serve", folder)
            with Client(path, "") as client:
                for wrong in ({"headers": {"Connection": "close"}}, {"headers": {"a b": "c"}}, {"headers": {"a": "\n"}},
                              {"method": ""}, {"path": "/a b"}, {"headers": {f"x{i}": "y" * 65000 for i in range(5)}}):
                    with self.assertRaises(ValueError, msg=wrong):
                        client.request("echo", **wrong)
                self.assertEqual(client.request("echo", b"after", timeout=60).body, b"after")

    def test_who_only_asks_whether_a_request_is_done_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            _, path = self.service("serve", folder)
            with Client(path, "") as client:
                pending = client.submit("echo", b"x")
                self.until(pending.done)
                self.assertEqual(pending.result(0).body, b"x")
                pending = client.submit("echo", b"y")
                self.until(lambda: self.result_of(pending) == b"y")

    def test_a_time_limit_holds_where_nobody_takes_the_request_and_little_is_kept_of_it(self):
        with tempfile.TemporaryDirectory() as folder:
            client = self.client_of_nobody(folder)
            for body in (bytes(8 << 20), *[bytes(128 << 10)] * 40):
                with self.assertRaises(TimeoutError):
                    client.request("echo", body, timeout=0.01)
            self.assertLess(len(client._out), 2 << 20)

    def test_a_forked_process_does_not_use_its_parents_client(self):
        with tempfile.TemporaryDirectory() as folder:
            _, path = self.service("serve", folder)
            with Client(path, "") as client:
                child = os.fork()
                if child == 0:
                    try:
                        client.request("echo", b"child", timeout=60)
                    except TriremeError:
                        os._exit(0)
                    os._exit(1)
                self.assertEqual(os.waitpid(child, 0)[1], 0)
                self.assertEqual(client.request("echo", b"parent", timeout=60).body, b"parent")

    def result_of(self, pending):
        try:
            return pending.result(0).body
        except TimeoutError:
            return None

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_without_a_descriptor_left_it_waits_for_one_and_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            service, path = self.service(
                "serve", folder,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.DESCRIPTORS, self.DESCRIPTORS)))
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
