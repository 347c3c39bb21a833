"""xargs -P: what is on every machine. It neither keeps outputs apart nor says when a task ran or how it ended."""

from peer import TASK, Peer, numbers, timed, times


class Xargs(Peer):
    name = "xargs -P"
    package = "findutils"
    programs = ("xargs",)

    def run(self, folder, tasks, in_flight):
        return times(timed(["xargs", "-P", str(in_flight), "-n", "1", TASK], folder, numbers(tasks)))


PEERS = [Xargs()]
