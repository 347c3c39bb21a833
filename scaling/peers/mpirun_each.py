"""Open MPI's mpirun, once for each task: what a script does that knows nothing else.

--bind-to none: each mpirun would bind its process to the first core, since none knows of the others.
"""

import report
from peer import TASK, Peer, numbers, timed, times


class MpirunEach(Peer):
    name = "mpirun per task"
    package = "openmpi-bin"
    programs = ("mpirun.openmpi", "xargs")
    few = True

    def run(self, folder, tasks, in_flight):
        words = ["xargs", "-P", str(in_flight), "-n", "1", "mpirun.openmpi", "--bind-to", "none", "-n", "1", TASK]
        return times(timed(words, folder, numbers(tasks), report.mpi_environment()))


PEERS = [MpirunEach()]
