"""GNU parallel as its manual has it: tasks from stdin with a job log; and, for short jobs, several of it under one with --pipe.

The log says when each job began and how long it took; with --pipe ("Speeding up fast jobs" in parallel(1)) there is none.
--will-cite silences a notice, where there is one (Debian's has none); what it asks to be cited is in scaling/README.md.
"""

import os

from peer import TASK, Peer, numbers, timed, times

PARALLEL = ["parallel", "--will-cite"]
SEVERAL = 2


class GnuParallel(Peer):
    name = "GNU parallel"
    package = "parallel"
    programs = ("parallel",)

    def environment(self, folder):
        """With its caches in our folder instead of the user's."""
        return dict(os.environ, PARALLEL_HOME=os.path.join(folder, "home"), PARALLEL="")

    def run(self, folder, tasks, in_flight):
        words = PARALLEL + ["-j", str(in_flight), "--joblog", "log", TASK, "{}"]
        ran = timed(words, folder, numbers(tasks), self.environment(folder))
        with open(os.path.join(folder, "log")) as file:
            next(file)
            jobs = [tuple(map(float, line.split("\t")[2:4])) for line in file]
        assert len(jobs) == tasks, (len(jobs), tasks)
        return times(ran, min(start for start, _ in jobs), max(start + seconds for start, seconds in jobs))


class Several(GnuParallel):
    name = f"GNU parallel, {SEVERAL} under --pipe"
    parts = SEVERAL

    def run(self, folder, tasks, in_flight):
        share = str(-(-tasks // SEVERAL))
        words = PARALLEL + ["-j", str(SEVERAL), "-q", "-I,,", "--pipe", "-N", share] + PARALLEL + ["-j", str(in_flight // SEVERAL), TASK, "{}"]
        return times(timed(words, folder, numbers(tasks), self.environment(folder)))


PEERS = [GnuParallel(), Several()]
