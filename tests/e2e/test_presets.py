"""Presets whose servers can be had here, run for real; and what `plan` shows of them."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import unittest

import harness

TRAIN = """
import joblib, sys
from sklearn.linear_model import LinearRegression
joblib.dump(LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]), sys.argv[1])
"""

ASK = """
import json, os, urllib.error, urllib.request

def ask(body):
    url = os.environ["TRIREME_SERVICE_LINE_URL"].rstrip("/") + "/predict"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

print([[round(value, 6) for value in ask({"inputs": [[10.0], [20.0]]})[1]["outputs"]], ask({"inputs": [[1.0, 2.0]]})[0], ask({})[0]])
"""


# Stands in for PyTorch with a GPU: numbers are doubled, 13 breaks the GPU, 99 takes more memory than there is.
TORCH = """
import contextlib

__version__ = "0"
float32 = "float32"
inference_mode = contextlib.nullcontext

class cuda:
    usable = True
    is_available = lambda: True
    get_device_name = lambda: "an imagined GPU"
    set_per_process_memory_fraction = lambda part: print("part", part, flush=True)

    def synchronize():
        if not cuda.usable:
            raise RuntimeError("CUDA error: device-side assert triggered")

class tensor(list):
    def __init__(self, rows, dtype, device):
        super().__init__(rows)

    def tolist(self):
        return [2 * row[0] for row in self]

class Module:
    eval = lambda self: self

    def __call__(self, rows):
        rows[0][0].real
        if rows[0][0] == 99:
            raise RuntimeError("CUDA out of memory. Tried to allocate 99 GiB.")
        cuda.usable = cuda.usable and rows[0][0] != 13
        cuda.synchronize()
        return rows

class jit:
    load = lambda path, map_location: Module()
"""

ASK_TWICE = """
import json, os, urllib.error, urllib.request

def ask(number):
    url = os.environ["TRIREME_SERVICE_TWICE_URL"].rstrip("/") + "/predict"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps({"inputs": [[number]]}).encode()), timeout=60) as answer:
            return json.load(answer)["outputs"], answer.headers["X-Trireme-Replica"]
    except urllib.error.HTTPError as error:
        return error.code, "CUDA" in json.load(error)["error"]

print([ask(number) for number in (4, 99, 5, 13, 6)])
"""


class Presets(harness.TestCase):
    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def modules(self):
        """A folder with what stands in for PyTorch."""
        os.mkdir(os.path.join(self.folder, "modules"))
        return os.path.dirname(self.file("modules/torch.py", TORCH))

    def connect_to_server(self):
        """To one that serves the stand-in, without the runtime."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        path = os.pathsep.join([self.modules(), os.path.join(harness.SOURCE, "services", "python")])
        server = subprocess.Popen(["/usr/bin/python3", "-m", "trireme.serve", "pytorch", "none", "--port", str(port)],
                                  env=self.environment(PYTHONPATH=path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

        def connect():
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE)

        return harness.wait_until(connect, "the server listens")

    def test_an_answer_leaves_in_one_piece(self):
        """In two, the second would wait until the client's host has acknowledged the first."""
        with self.connect_to_server() as connection:
            body = b'{"inputs": [[4]]}'
            for _ in range(20):
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                self.assertTrue(connection.recv(1 << 16).endswith(b'{"outputs": [8]}'))

    def test_whatever_a_client_sends_is_answered_and_does_its_connection_no_harm(self):
        client = http.client.HTTPConnection("localhost")
        client.sock = self.connect_to_server()
        self.addCleanup(client.close)

        def ask(body, **headers):
            client.request("POST", "/predict", body, headers)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read(), parse_constant=lambda name: self.fail(f"{name} is not JSON"))

        self.assertEqual(ask(iter([b'{"inputs": ', b"[[4]]}"])), (200, {"outputs": [8]}), "in chunks")
        self.assertEqual(ask("[" * 100_000)[0], 400)
        status, content = ask('{"inputs": [["good"]]}')
        self.assertEqual((status, "AttributeError" in content["error"]), (500, True))
        self.assertEqual(ask('{"inputs": [[NaN], [Infinity], [2.5]]}'), (200, {"outputs": [None, None, 5.0]}))
        self.assertEqual(ask('{"inputs": [[5]]}'), (200, {"outputs": [10]}), "the connection goes on")
        status, content = ask("zz\r\n", **{"Transfer-Encoding": "chunked"})
        self.assertEqual((status, client.sock), (400, None), "where it ends cannot be told")

    def test_a_scikit_learn_model_answers_on_two_ranks(self):
        if subprocess.run(["/usr/bin/python3", "-c", "import sklearn"], capture_output=True).returncode != 0:
            self.skipTest("python3-sklearn is not installed (tools/packages)")
        model = os.path.join(self.folder, "line.joblib")
        subprocess.run(["/usr/bin/python3", self.file("train.py", TRAIN), model], check=True, timeout=harness.DEADLINE)
        run = self.run_workflow(
            f"""
services:
  line:
    preset: scikit-learn
    model: {model}
    replicas: 2
    env: {{PATH: "/usr/bin:/bin"}}
tasks:
  ask:
    command: [/usr/bin/python3, {self.file("ask.py", ASK)}]
    services: [line]
""",
            "--worker-cores", "2", ranks=2)
        self.assertEqual(run.stdout_of("ask").strip(), "[[21.0, 41.0], 400, 400]")
        self.assert_nothing_left()

    def test_a_replica_whose_gpu_broke_is_started_again_and_one_that_shares_it_keeps_to_its_part(self):
        modules = self.modules()
        run = self.run_workflow(
            f"""
services:
  twice:
    preset: pytorch
    model: none
    gpus: 0.5
    restart: {{backoff: 50ms}}
    env: {{PATH: "/usr/bin:/bin"}}
tasks:
  ask:
    command: [/usr/bin/python3, {self.file("ask.py", ASK_TWICE)}]
    services: [twice]
""",
            "--worker-gpus", "1", environment=self.environment(PYTHONPATH=modules))
        self.assertEqual(run.stdout_of("ask").strip(),
                         "[([8], 'twice/0@0'), (503, True), ([10], 'twice/0@0'), (500, True), ([12], 'twice/0@1')]")
        self.assertEqual(run.summary()["services"]["twice"]["restarts"], 1)
        with open(os.path.join(run.run_dir, "services", "twice", "0", "0", "stdout")) as file:
            self.assertEqual(file.read(), "none is on an imagined GPU\npart 0.5\n")
        self.assert_nothing_left()

    def test_plan_shows_what_a_preset_became(self):
        flow = self.workflow("services:\n  llama: {preset: vllm, model: org/m}\n")
        out = self.trireme("plan", flow, "--worker-gpus", "1", "--worker-cores", "4").stdout
        self.assertIn("vllm serve org/m --host 127.0.0.1 --port {port} --tensor-parallel-size 1", out)
        self.assertIn("ready by http /health within 30m", out)

    def test_an_unknown_preset_is_said_with_the_one_that_was_meant(self):
        flow = self.workflow("services:\n  llama: {preset: lama.cpp, model: m}\n")
        self.assertIn('did you mean "llama.cpp"?', self.trireme("validate", flow, code=2).stderr)


if __name__ == "__main__":
    unittest.main()
