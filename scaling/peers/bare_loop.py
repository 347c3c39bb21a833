"""The floor: posix_spawn in a loop, with the folder, the files and the affinity that Trireme gives each task."""

import os
import shutil

import report
from peer import TASK, Peer, timed, times


class BareLoop(Peer):
    name = "bare posix_spawn loop"
    full = True
    program = os.path.join(report.RELEASE, "scaling", "bare_spawn")

    def missing(self):
        return None if os.path.exists(self.program) else f"{self.program} is missing: cmake --build --preset release"

    def run(self, folder, tasks, in_flight):
        work = os.path.join(folder, "work")
        os.mkdir(work)
        words = [self.program, "work", str(tasks), str(in_flight), TASK]
        ran = timed(words, folder, told=["bare_spawn", *words[1:]])
        shutil.rmtree(work)
        return times(ran)


PEERS = [BareLoop()]
