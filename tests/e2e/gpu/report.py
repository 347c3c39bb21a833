"""What a task finds of a GPU, as a line of JSON.

With a folder and a number: holds its place until two such tasks hold one (`together`), and says how many it ever saw (`most`).
"""

import json
import os
import pathlib
import sys
import time

import torch


def meet(folder, number):
    places = pathlib.Path(folder)
    (places / f"in-{number}").touch()
    most, end = 0, time.monotonic() + 120
    while len(list(places.glob("in-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    for _ in range(50):  # whoever comes wrongly is seen
        most = max(most, len(list(places.glob("in-*"))) - len(list(places.glob("out-*"))))
        time.sleep(0.02)
    return most


def memory_that_can_be_had(part):
    try:
        torch.empty(int(part * torch.cuda.get_device_properties(0).total_memory), dtype=torch.uint8, device="cuda")
        return True
    except torch.OutOfMemoryError:
        return False


names = ["CUDA_VISIBLE_DEVICES", "TRIREME_GPU_FRACTION", "TRIREME_GPU_MEMORY", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"]
out = {"variables": {name: os.environ[name] for name in names if name in os.environ}, "gpus": torch.cuda.device_count()}
if out["gpus"]:
    out["name"] = torch.cuda.get_device_name()
    out["uuid"] = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    out["processors"] = torch.cuda.get_device_properties(0).multi_processor_count
    a, b = torch.randn(512, 512, dtype=torch.float64), torch.randn(512, 512, dtype=torch.float64)
    product = a @ b
    out["error"] = float((a.cuda() @ b.cuda()).cpu().sub(product).norm() / product.norm())
if len(sys.argv) > 2:
    out["most"] = meet(sys.argv[1], sys.argv[2])
if out["gpus"]:
    out["total"] = torch.cuda.mem_get_info()[1]
    out["gets_0.4"], out["gets_0.6"] = memory_that_can_be_had(0.4), memory_that_can_be_had(0.6)
print(json.dumps(out))
if len(sys.argv) > 2:
    pathlib.Path(sys.argv[1], f"out-{sys.argv[2]}").touch()
