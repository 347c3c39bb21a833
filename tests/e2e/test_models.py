"""Models by name: the published clients of both APIs as tasks, unmodified, and what the proxy counts of them."""

import os
import shutil
import subprocess
import unittest

import harness

FLOW = """
name: models
services:
  gpt:
    command: [MOCK, --port, "{port}", --index, "{replica}", --model, small-2026]
    replicas: 2
    cores: 0
    api: openai
    policy: prefix
    models: [{name: small, upstream: small-2026}]
    ready: {http: /health}
  local:
    command: [MOCK, --port, "{port}", --model, llama3]
    cores: 0
    api: ollama
    policy: hash
    models: [llama3]
    ready: {http: /health}
tasks:
  client:
    foreach: {i: [0, 1]}
    SCRIPT
    services: [gpt, local]
"""

CURL = r"""script: |
      set -e
      curl -sSf "$OPENAI_BASE_URL/models" | grep '"small"'
      curl -sSf "$OPENAI_BASE_URL/chat/completions" -H 'Content-Type: application/json' -d '{"model": "small", "stream": true, "max_tokens": 5, "messages": [{"role": "user", "content": "count the cells"}]}' | grep '\[DONE\]'
      curl -sSf "$OLLAMA_HOST/api/generate" -d '{"model": "llama3", "prompt": "x", "options": {"num_predict": 3}}' | grep '"done":true'
      curl -sS -w '%{http_code}' "$OPENAI_BASE_URL/embeddings" -d '{"model": "none"}' | grep 'model_not_found'
      curl -sSf "$TRIREME_PROXY_URL/metrics" > metrics
"""


def flow(script):
    mock = os.path.join(harness.BUILD, "trireme-mock")
    return FLOW.replace("MOCK", mock).replace("SCRIPT", script)


def published_clients():
    """The folder where the published packages are, or why they cannot be had."""
    folder = os.path.join(harness.BUILD, "e2e-clients")
    shutil.copytree(os.path.join(harness.HERE, "clients"), folder, dirs_exist_ok=True)
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "node and npm are not installed"
    if not os.path.exists(os.path.join(folder, "node_modules", "openai")):
        install = subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=300)
        if install.returncode != 0:
            return None, "npm could not install the clients: " + install.stderr[-500:]
    return folder, None


class Models(harness.TestCase):
    def run_on_both_ranks(self, script):
        run = self.run_workflow(flow(script), "--worker-cores", "1", ranks=2)
        ranks = {event["rank"] for event in run.events() if event["event"] == "attempt_started"}
        self.assertEqual(ranks, {0, 1}, "a client ran on each rank")
        self.assert_nothing_left()
        return run

    def test_curl_finds_models_by_name_and_the_proxy_counts_them(self):
        run = self.run_on_both_ranks(CURL)
        for i in range(2):
            with open(os.path.join(run.run_dir, "tasks", f"client%5Bi={i}%5D", "0", "metrics")) as file:
                metrics = file.read()
            self.assertRegex(metrics, r'trireme_requests_total\{service="gpt",replica="[01]",code="200"\} 1\n')
            self.assertRegex(metrics, r'trireme_inter_token_latency_seconds_count\{service="gpt"\} [1-9]')
            self.assertIn('trireme_refusals_total{code="404"} 1\n', metrics)

    def test_the_published_clients_work_unmodified(self):
        folder, missing = published_clients()
        if folder is None:
            self.skipTest(missing)
        run = self.run_on_both_ranks(f"command: [node, {folder}/client.mjs]")
        for i in range(2):
            self.assertIn("both clients were answered", run.stdout_of(f"client[i={i}]"))


if __name__ == "__main__":
    unittest.main()
