"""llama.cpp's own server behind one model name: two replicas on two ranks and a remote endpoint, asked by the published clients.

The server and the clients are Debian testing's, in a folder that llama/make_root.sh makes once per build folder; the model is
llama/make_model.py's. Where these cannot be had, the test is skipped and says why; docs/guide/llama.cpp.md holds a recorded run.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.request

import harness

HERE = os.path.join(harness.HERE, "llama")
ROOT = os.path.join(harness.BUILD, "e2e-llama")
CHROOT = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")

FLOW = """
name: llama
services:
  llama:
    preset: llama.cpp
    model: /models/tiny.gguf
    options: [--embeddings, --pooling, mean, --ctx-size, "32768"]
    env: {PATH: "BIN:/usr/bin:/bin"}
    replicas: {min: 2, max: 3, cooldown: 2s}
    cores: 1
    drain: 2m
    restart: {max: 3, backoff: 100ms}
    models: [tiny]
    remote: [{url: "http://127.0.0.1:PORT/v1", key_env: LLAMA_REMOTE_KEY, concurrency: 4}]
    prefer: none
  words:
    command: [MOCK, --port, "{port}", --model, words]
    cores: 0
    api: ollama
    models: [words]
    ready: {http: /health}
tasks:
  client:
    command: [CHROOT, ROOT, /usr/bin/python3, /clients/client.py]
    env: {HOME: /tmp}
    cores: 0
    services: [llama, words]
"""


def root():
    """Why there is no root folder with the server, or None."""
    if os.geteuid() != 0 or CHROOT is None or shutil.which("mmdebstrap") is None:
        return "it needs root, chroot and mmdebstrap (tools/packages-full)"
    if not os.path.exists(ROOT):
        made = subprocess.run([os.path.join(HERE, "make_root.sh"), ROOT], capture_output=True, text=True, timeout=600)
        if made.returncode != 0:
            return "Debian testing's llama.cpp-tools and clients cannot be had: " + made.stderr[-1000:]
    subprocess.run(["/usr/bin/python3", os.path.join(HERE, "make_model.py"), os.path.join(ROOT, "models", "tiny.gguf")], check=True, timeout=300)
    shutil.copy(os.path.join(HERE, "client.py"), os.path.join(ROOT, "clients", "client.py"))
    return None


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Llama(harness.TestCase):
    def start_remote(self, key):
        port = free_port()
        command = [CHROOT, ROOT, "/usr/bin/llama-server", "--offline", "-m", "/models/tiny.gguf", "--host", "127.0.0.1", "--port", str(port),
                   "-t", "1", "-np", "4", "-c", "32768", "--embeddings", "--pooling", "mean"]
        server = subprocess.Popen(command, env=dict(os.environ, LLAMA_API_KEY=key), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

        def healthy():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
            except OSError:
                return False

        harness.wait_until(healthy, "the remote server answers")
        return port

    def wrapper(self):
        """A `llama-server` that is the one in the root folder, for the preset to find on PATH."""
        folder = os.path.join(self.folder, "bin")
        os.mkdir(folder)
        path = os.path.join(folder, "llama-server")
        with open(path, "w") as file:
            file.write(f'#!/bin/sh\nexec {CHROOT} {ROOT} /usr/bin/llama-server --offline "$@"\n')
        os.chmod(path, 0o755)
        return folder

    def said(self, run):
        """What the client has said so far, by stage."""
        try:
            lines = run.stdout_of("client").splitlines(keepends=True)
        except FileNotFoundError:
            return {}
        return {line["stage"]: line for line in map(json.loads, (text for text in lines if text.endswith("\n")))}

    def ended_or_said(self, run, stage):
        return stage in self.said(run) or run.process.poll() is not None

    def lives(self, run):
        services = json.loads(self.trireme("services", run.run_dir, "--json").stdout)
        return next(service["lives"] for service in services if service["service"] == "llama")

    def test_replicas_and_a_remote_endpoint_behind_one_name(self):
        missing = root()
        if missing:
            self.skipTest(missing)
        flow = FLOW
        for name, value in {"BIN": self.wrapper(), "PORT": str(self.start_remote("far-away")), "CHROOT": CHROOT, "ROOT": ROOT,
                            "MOCK": os.path.join(harness.BUILD, "trireme-mock")}.items():
            flow = flow.replace(name, value)
        run = self.start(flow, "--worker-cores", "2", ranks=2, environment=self.environment(LLAMA_REMOTE_KEY="far-away"))
        harness.wait_until(lambda: self.ended_or_said(run, "streaming"), "streams from all three", 300)
        if run.process.poll() is None:
            first = next(life for life in self.lives(run) if life["replica"] == 0)
            os.kill(first["pid"], signal.SIGKILL)
        run.finish(400)
        self.assertEqual(run.code, 0, run.stderr + run.stdout_of("client") + run.stdout_of("client", stream="stderr"))
        said = self.said(run)
        print(run.stdout_of("client"), self.trireme("services", run.run_dir).stdout, sep="\n")

        self.assertEqual(said["answers"]["answered_by"], ["llama/0", "llama/1", "llama/remote-0"])
        self.assertGreater(said["answers"]["pieces"], 32)
        self.assertEqual(said["answers"]["embedding"], 384)
        for place, end in said["killed"]["ends"]:
            if place == "llama/0":
                self.assertRegex(end, "Error", "a stream that is cut is an error of the client's library")
            else:
                self.assertEqual(end, "length", f"the stream of {place} goes on")
        self.assertEqual(set(said["grown"]["replicas"].values()), {"ready"})
        self.assertEqual(len(said["grown"]["replicas"]), 3)
        drained = said["drained"]
        self.assertIn(drained["drained"][0], drained["streams_on"], "it still had a stream when it began to drain")
        self.assertEqual({end for _, end in drained["ends"]}, {"length"}, "draining cuts nothing off")
        self.assertEqual(drained["lost"], [])
        self.assertEqual(sorted(drained["replicas"].values()), ["ended", "ready", "ready"])
        self.assertEqual(said["ollama"]["models"], ["words"])
        lives = self.lives(run)
        self.assertIn("remote-0", self.trireme("services", run.run_dir).stdout)
        self.assertEqual({life["rank"] for life in lives}, {0, 1})
        self.assertEqual({(life["replica"], life["attempt"]) for life in lives}, {(0, 0), (0, 1), (1, 0), (2, 0)})
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
