"""Dask distributed on a LocalCluster (dask_client.py): its tasks are Python functions, so an executable is run by one that calls it."""

import os
import subprocess
import sys

from peer import HERE, Peer, timed, times


class Dask(Peer):
    package = "python3-distributed"
    parts = 2

    def __init__(self, name, function):
        self.name = name
        self.what = "noop" if function else "execute"
        self.function = function

    def missing(self):
        found = subprocess.run([sys.executable, "-c", "import distributed"], capture_output=True).returncode == 0
        return None if found else f"the Python module distributed is missing: apt-get install {self.package}"

    def run(self, folder, tasks, in_flight):
        words = [sys.executable, os.path.join(HERE, "dask_client.py"), self.what, str(tasks), str(in_flight)]
        ran = timed(words, folder, told=["python3", "dask_client.py", *words[2:]])
        first, last = map(float, ran.out.split())
        return times(ran, first, last)


PEERS = [Dask("Dask, subprocess.run", False), Dask("Dask, Python function", True)]
