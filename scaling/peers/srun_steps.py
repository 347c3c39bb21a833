"""A step of Slurm per task, inside one allocation, in a Slurm of our own (tests/cluster/slurm.py) with as many cores as tasks in flight.

srun(1) has several steps at a time with --exact, each with cores of its own, which waits for those that Slurm has not yet cleaned up;
with --overlap steps share the cores and need not wait. What the login shell of `salloc` begins and ends with is the time between.
"""

import os
import shlex
import sys
import tempfile

from peer import HERE, TASK, Peer, timed, times

sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "cluster"))
from slurm import Slurm  # noqa: E402


class Cluster:
    """One Slurm for all who are measured in it, from the first on. Its host has memory of its own, so its folder is on a disk."""

    slurm = None
    folder = None

    def up(self, stack, cores):
        if self.slurm is None:
            self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trireme-slurm-"))
            self.slurm = stack.enter_context(Slurm(self.folder, 1, cores=cores, network="10.82.0"))


class Steps(Peer):
    package = "slurmctld slurmd slurm-client munge"
    programs = ("srun", "salloc", "slurmctld", "slurmd", "munged")
    few = True

    def __init__(self, option, cluster):
        self.name = f"srun {option}, a step per task"
        self.option = option
        self.cluster = cluster

    def missing(self):
        return super().missing() or (None if os.geteuid() == 0 else "a Slurm of our own needs root")

    def prepare(self, stack, folder, in_flight):
        self.cluster.up(stack, in_flight)

    def run(self, folder, tasks, in_flight):
        step = shlex.join(["srun", "-n1", self.option, TASK])
        script = f"date +%s.%N; seq {tasks} | xargs -P {in_flight} -n 1 {step} || exit 1; date +%s.%N"
        words = ["salloc", "-N1", f"-n{in_flight}", "sh", "-c", script]
        ran = timed(self.cluster.slurm.on_head(words), self.cluster.folder, environment=self.cluster.slurm.environment(), told=words)
        first, last = map(float, ran.out.split())
        return times(ran, first, last)


_CLUSTER = Cluster()
PEERS = [Steps("--exact", _CLUSTER), Steps("--overlap", _CLUSTER)]
