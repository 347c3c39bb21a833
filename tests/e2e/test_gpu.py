"""Tasks, shares and the pytorch preset on an NVIDIA GPU; skipped where there is none or no PyTorch that uses it.

TRIREME_TORCH names a Python with PyTorch, else it is the first `python3` on the PATH. docs/guide/gpus.md holds a recorded run.
"""

import json
import os
import shutil
import subprocess
import unittest

import harness

HERE = os.path.join(harness.HERE, "gpu")
PYTHON = os.environ.get("TRIREME_TORCH") or shutil.which("python3")
REPORT = f"{PYTHON}, {HERE}/report.py"

TASKS = f"""
tasks:
  whole: {{command: [{REPORT}], gpus: 1}}
  none: {{command: [{REPORT}]}}
"""

SHARES = f"""
tasks:
  half:
    foreach: {{n: [0, 1, 2]}}
    command: [{REPORT}, PLACES, "{{n}}"]
    gpus: 0.5
"""

# Shares that are enforced: the server is a service, and its clients find it by this folder.
MPS = f"""
services:
  mps:
    script: |
      mkdir -p "$CUDA_MPS_PIPE_DIRECTORY"
      exec env -u CUDA_VISIBLE_DEVICES nvidia-cuda-mps-control -f
    env: {{CUDA_MPS_PIPE_DIRECTORY: "PIPES", CUDA_MPS_LOG_DIRECTORY: "PIPES"}}
    cores: 0
    ready: {{file: "PIPES/control"}}
tasks:
  half:
    foreach: {{n: [0, 1]}}
    command: [{REPORT}, PLACES, "{{n}}"]
    env: {{CUDA_MPS_PIPE_DIRECTORY: "PIPES"}}
    gpus: 0.5
    services: [mps]
"""

MODEL = f"""
services:
  model:
    preset: pytorch
    model: MODEL
    command: [{PYTHON}, -m, trireme.serve, pytorch, "{{model}}", --port, "{{port}}"]
    replicas: 2
    gpus: 0.5
    restart: {{max: 3, backoff: 100ms}}
tasks:
  ask: {{command: [{PYTHON}, {HERE}/ask.py, MODEL, MEMORY], services: [model]}}
"""


def missing():
    """Why there is nothing to test, or None."""
    if not os.path.exists("/dev/nvidiactl") or not shutil.which("nvidia-smi"):
        return "there is no NVIDIA GPU"
    if subprocess.run([PYTHON, "-c", "import torch; exit(not torch.cuda.is_available())"], capture_output=True, timeout=300).returncode != 0:
        return f"{PYTHON} has no PyTorch that uses the GPU"
    return None


def driver_says(what):
    return subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"], check=True, capture_output=True, text=True,
                          timeout=60).stdout.split("\n")[0]


class Gpu(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        why = missing()
        if why:
            raise unittest.SkipTest(why)

    def report(self, run, task):
        line = json.loads(run.stdout_of(task))
        print(task, json.dumps(line))
        return line

    def halves(self, name, **variables):
        """What the three tasks said that ask for half a GPU each; `name` is that of a run."""
        places = os.path.join(self.folder, f"places-{name}")
        os.mkdir(places)
        run = self.run_workflow(SHARES.replace("PLACES", places), "--worker-cores", "4", run_dir=os.path.join(self.folder, name),
                                environment=self.environment(**variables))
        self.assert_nothing_left()
        return [self.report(run, f"half[n={n}]") for n in range(3)]

    def check_share(self, half):
        """The variables of half a GPU, whose memory is what the driver says."""
        memory = int(driver_says("memory.total")) // 2
        self.assertEqual(half["variables"]["TRIREME_GPU_FRACTION"], "0.5")
        self.assertEqual(int(half["variables"]["TRIREME_GPU_MEMORY"]) >> 20, memory)
        self.assertEqual(half["variables"]["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"], "50")
        self.assertEqual(half["variables"]["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"], f"0={memory}M")

    def test_a_task_has_the_gpu_it_asked_for_and_others_none(self):
        run = self.run_workflow(TASKS, ranks=2)
        whole, none = self.report(run, "whole"), self.report(run, "none")
        self.assertEqual(whole["gpus"], 1)
        self.assertEqual((whole["name"], whole["uuid"]), (driver_says("name"), driver_says("uuid")))
        self.assertLess(whole["error"], 1e-12)
        self.assertEqual(none["gpus"], 0)
        nodes = [event for event in run.events() if event["event"] == "node_joined"]
        self.assertEqual(sum(node["gpus"] for node in nodes), len(os.listdir("/proc/driver/nvidia/gpus")))
        self.assert_nothing_left()

    def test_the_gpu_that_the_site_grants_is_named_as_the_site_names_it(self):
        uuid = driver_says("uuid")
        for name in (uuid, uuid[:16], "0"):
            with self.subTest(name):
                for half in self.halves(name, CUDA_VISIBLE_DEVICES=name):
                    self.assertEqual((half["variables"]["CUDA_VISIBLE_DEVICES"], half["gpus"], half["uuid"]), (name, 1, uuid))
                    self.check_share(half)

    def test_two_halves_are_used_at_a_time_and_never_three(self):
        halves = self.halves("run")
        self.assertEqual(max(half["most"] for half in halves), 2)
        for half in halves:
            self.assertLess(half["error"], 1e-12)
            self.check_share(half)

    def test_mps_holds_each_to_its_share(self):
        if not shutil.which("nvidia-cuda-mps-control"):
            self.skipTest("there is no nvidia-cuda-mps-control")
        places, pipes = os.path.join(self.folder, "places"), os.path.join(self.folder, "mps")
        os.mkdir(places)
        run = self.run_workflow(MPS.replace("PLACES", places).replace("PIPES", pipes), "--worker-cores", "4")
        harness.wait_until(lambda: not harness.processes_with(self.mark), "the server has ended with the run")
        halves = [self.report(run, f"half[n={n}]") for n in range(2)]
        for half in halves:
            self.assertEqual(half["most"], 2)
            self.assertLess(half["error"], 1e-12)
            self.assertTrue(half["gets_0.4"])
            self.assertFalse(half["gets_0.6"])

    def test_replicas_of_the_pytorch_preset_share_the_gpu(self):
        model = os.path.join(self.folder, "model.pt")
        subprocess.run([PYTHON, os.path.join(HERE, "make_model.py"), model], check=True, timeout=300)
        memory = str(int(driver_says("memory.total")) << 20)
        run = self.start(MODEL.replace("MODEL", model).replace("MEMORY", memory), "--worker-cores", "4").finish(600)
        self.assertEqual(run.code, 0, run.stderr)
        said = {}
        for line in run.stdout_of("ask").splitlines():
            print(line)
            said.update(json.loads(line))
        print(self.trireme("services", run.run_dir).stdout)
        for stage in ("whole", "then"):
            self.assertTrue(said[stage]["on_gpu"])
            self.assertLess(said[stage]["difference"], 1e-5)
            self.assertEqual(len(said[stage]["by"]), 2)
        self.assertEqual((said["killed"], said["wrong_shape"], said["broken"], said["servers"]), (200, 400, 500, 2))
        self.assertEqual((said["takes_0.4"], said["takes_0.6"]), (200, 503))
        self.assertEqual(run.summary()["services"]["model"]["restarts"], 2)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
