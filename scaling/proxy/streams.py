"""Memory and flow control: many open streams, a slow reader beside others, a body much larger than memory may grow."""

import json
import os
import tempfile
import threading
import time

import rig

STREAMS = 1000
SLOW_READERS = 8
MIB = 1 << 20


class MemoryWatch:
    """Samples the resident memory of processes while it is entered."""

    def __init__(self, pids):
        self.pids, self.samples, self.over = pids, [], threading.Event()

    def __enter__(self):
        self.before = rig.resident_bytes(self.pids)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.over.wait(0.05):
            self.samples.append(rig.resident_bytes(self.pids))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def growth(self):
        return max(self.samples, default=self.before) - self.before


def jobs_file(jobs):
    file = tempfile.NamedTemporaryFile("w", suffix=".jobs", delete=False)
    with file:
        for path, body in jobs:
            file.write(path + "\t" + (json.dumps(body) if body else "") + "\n")
    return file.name


def open_streams(trireme, quick):
    tokens = 4 if quick else 40
    jobs = jobs_file([("/v1/completions", {"model": "mock", "prompt": "row", "stream": True, "max_tokens": tokens})])
    try:
        rig.load(trireme.urls["streams"][0], connections=STREAMS, requests=STREAMS, jobs=jobs)  # connections and buffers of the first time
        with MemoryWatch(trireme.pids) as memory:
            result = rig.load(trireme.urls["streams"][0], connections=STREAMS, requests=STREAMS, jobs=jobs)
    finally:
        os.unlink(jobs)
    if result["statuses"] != {"200": STREAMS}:
        raise RuntimeError(f"streams failed: {result}")
    row = {"section": "streams", "streams": STREAMS, "tokens": tokens, "seconds": result["seconds"], "growth_bytes": memory.growth(), "rss_bytes": memory.samples}
    return [row], [rig.report.goal(f"memory that {STREAMS} streams add once buffers exist, per stream", memory.growth() / STREAMS, "bytes", 4096, "lower")]


def slow_readers(trireme, quick):
    """The pace of others beside readers that take 64 KiB/s of what comes without end."""
    url = trireme.urls["mock"][0]
    seconds = 1.5 if quick else 6

    def others():
        return rig.load(url, connections=4, seconds=seconds, path="/noop", body_bytes=1024)

    alone = others()
    slow = rig.start_load(url, connections=SLOW_READERS, seconds=seconds + 2, path="/bytes?n=10000000000", read_rate=65536)
    with MemoryWatch(trireme.pids) as memory:
        time.sleep(0.5)
        beside = others()
    rig.finish(slow)
    share = (beside["requests"] / beside["seconds"]) / (alone["requests"] / alone["seconds"])
    row = {"section": "slow readers", "readers": SLOW_READERS, "pace": share, "growth_bytes": memory.growth(), "p50_alone_s": alone["latency"]["p50"], "p50_beside_s": beside["latency"]["p50"]}
    return [row], [
        rig.report.goal("pace of others beside slow readers", share, "ratio", 0.8, "higher"),
        rig.report.goal("memory per slow reader", memory.growth() / SLOW_READERS, "bytes", 2 * MIB, "lower"),
    ]


def large_body(trireme, quick):
    size = (1 if quick else 10) << 30
    with MemoryWatch(trireme.pids) as memory:
        result = rig.load(trireme.urls["mock"][0], connections=1, requests=1, path=f"/bytes?n={size}")
    if result["bytes"] != size:
        raise RuntimeError(f"{result['bytes']} of {size} bytes came through")
    row = {"section": "large body", "bytes": size, "seconds": result["seconds"], "growth_bytes": memory.growth()}
    return [row], [rig.report.goal(f"memory that {size >> 30} GiB through a hop add", memory.growth(), "bytes", 8 * MIB, "lower")]


def measure(quick):
    # A token every half second in each stream: they are all open at once, and the machine is not busy with them.
    slow_tokens = ["--step-ms", "500", "--step-per-request-ms", "0", "--max-batch", str(2 * STREAMS), "--kv-tokens", "10000000"]
    rows, goals = [], []
    with rig.Trireme([rig.Service(), rig.Service("streams", options=slow_tokens, concurrency=2 * STREAMS)]) as trireme:
        for part in (open_streams, slow_readers, large_body):
            more_rows, more_goals = part(trireme, quick)
            rows += more_rows
            goals += more_goals
    return rows, goals
