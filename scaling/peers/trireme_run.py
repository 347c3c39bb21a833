"""Trireme itself: executables on one rank without a launcher and on two under mpirun, and Python functions on two."""

import json
import os
import shutil

import events
import report
from peer import HERE, TASK, Peer, timed, times

TRIREME = os.path.join(report.RELEASE, "trireme")


class Trireme(Peer):
    full = True

    def __init__(self, name, ranks, task):
        self.name = name
        self.parts = ranks
        self.task = task
        self.function = "function" in task

    def missing(self):
        return None if os.path.exists(TRIREME) else f"{TRIREME} is missing: cmake --build --preset release"

    def run(self, folder, tasks, in_flight):
        with open(os.path.join(folder, "null.yaml"), "w") as file:
            json.dump({"name": "null-tasks", "tasks": {"nothing": dict(self.task, foreach={"i": "1-%d" % tasks})}}, file)
        launcher = ["mpirun.openmpi", "-n", str(self.parts)] if self.parts > 1 else []
        words = [TRIREME, "run", "null.yaml", "--run-dir", "run", "--progress", "none", "--worker-cores", str(in_flight // self.parts)]
        ran = timed(launcher + words, folder, environment=dict(report.mpi_environment(), TRIREME_PYTHON="/usr/bin/python3"), told=launcher + ["trireme", *words[1:]])
        run_dir = os.path.join(folder, "run")
        first, last, ended = events.span(run_dir)
        assert ended == tasks, (ended, tasks)
        shutil.rmtree(run_dir)
        return times(ran, first, last)


FUNCTION = {"function": {"python": "noop:noop", "path": os.path.join(HERE, "..", "functions")}, "args": []}
PEERS = [
    Trireme("Trireme, one rank", 1, {"command": [TASK]}),
    Trireme("Trireme, mpirun -n 2", 2, {"command": [TASK]}),
    Trireme("Trireme, Python function", 2, FUNCTION),
]
