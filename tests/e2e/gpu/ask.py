"""ask.py MODEL MEMORY: asks the service `model`, kills a replica and asks again, and sends what breaks one; a line of JSON for each.

MEMORY is a GPU's, in bytes."""

import concurrent.futures
import json
import os
import pathlib
import signal
import sys
import time
import urllib.error
import urllib.request

import torch

URL = os.environ["TRIREME_SERVICE_MODEL_URL"].rstrip("/") + "/predict"
ROWS = [[i % 4, i / 7, -i / 3] for i in range(64)]
EXPECTED = torch.jit.load(sys.argv[1], map_location="cpu")(torch.tensor(ROWS))


def ask(rows):
    try:
        with urllib.request.urlopen(urllib.request.Request(URL, json.dumps({"inputs": rows}).encode()), timeout=120) as answer:
            return answer.status, json.load(answer)["outputs"], answer.headers["X-Trireme-Replica"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), None


def ask_all():
    """Many questions at once, until both replicas have answered."""
    wrong, on_gpu, by, end = 0.0, True, set(), time.monotonic() + 120
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        while len(by) < 2 and time.monotonic() < end:
            for status, outputs, replica in threads.map(ask, [ROWS] * 16):
                if status != 200:
                    raise SystemExit(f"{status}: {outputs}")
                got = torch.tensor(outputs)
                wrong = max(wrong, float((got[:, :2] - EXPECTED[:, :2]).abs().max()))
                on_gpu = on_gpu and bool((got[:, 2] == 1).all())
                by.add(replica)
    return {"difference": wrong, "on_gpu": on_gpu, "by": sorted(by)}


def servers():
    """Pids of the replicas, by what they were started with."""
    pids = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if b"\0trireme.serve\0" in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
        except OSError:
            pass  # gone meanwhile
    return sorted(pids)


def wait_for_others(old):
    end = time.monotonic() + 120
    while (len(servers()) < 2 or servers() == old) and time.monotonic() < end:
        time.sleep(0.1)
    return len(servers())


print(json.dumps({"whole": ask_all()}), flush=True)
before = servers()
os.kill(before[0], signal.SIGKILL)
print(json.dumps({"killed": ask(ROWS)[0], "servers": wait_for_others(before), "then": ask_all()}), flush=True)
before = servers()
print(json.dumps({"wrong_shape": ask([[1.0]])[0]}), flush=True)
print(json.dumps({f"takes_{part}": ask([[-part * float(sys.argv[2]), 0, 0]])[0] for part in (0.4, 0.6)}), flush=True)
status, why, _ = ask([[99, 0, 0]])
print(json.dumps({"broken": status, "why": why, "servers": wait_for_others(before) if status == 500 else 0, "then": ask_all()}), flush=True)
