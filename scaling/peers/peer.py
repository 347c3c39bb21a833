"""What each peer of scaling/peers is to the program `run`, and how a program is timed."""

import os
import shutil
import signal
import subprocess
import time
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
TASK = "/bin/true"
DEADLINE = 1200


class Peer:
    """One way to run null tasks. What it needs is missing(), or None; prepare() sets up what outlives a run."""

    name = ""
    package = None  # Debian's package, whose version is told
    programs = ()  # of that package
    parts = 1  # as many of it share the tasks; it is held against Trireme on as many ranks
    few = False  # a task takes so long that a few tell enough
    function = False  # the task is a call of a Python function
    full = False  # also measured with very many tasks

    def missing(self):
        absent = [program for program in self.programs if shutil.which(program) is None]
        return f"{absent[0]} is missing: apt-get install {self.package}" if absent else None

    def prepare(self, stack, folder, in_flight):
        """Enters into `stack` what is to be ended when all is measured."""

    def run(self, folder, tasks, in_flight):
        """Runs so many tasks in an empty folder; the times() of it."""
        raise NotImplementedError


Ran = namedtuple("Ran", "words begin end out")  # a program: its words, seconds since the epoch, what it printed


def times(ran, first=None, last=None):
    """Of a program that ran tasks: its seconds, and those before the first task's start and after the last one's end where it is known."""
    result = {"command": ran.words, "seconds": ran.end - ran.begin}
    if first is not None:
        result.update(start_s=first - ran.begin, end_s=ran.end - last, between_s=last - first)
    return result


def timed(words, folder, stdin="", environment=None, told=None):
    """Runs `words` in `folder` and leaves nothing of it behind. `told`: the words that a user would write."""
    with open(os.path.join(folder, "stderr"), "w+") as errors:
        begin = time.time()
        process = subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        try:
            out, _ = process.communicate(stdin, DEADLINE)
            end = time.time()
        finally:
            if process.poll() is None:
                give_up(process)
        if process.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"scaling/peers: {' '.join(words)} ended with {process.returncode}:\n{errors.read()[-4000:]}")
    return Ran(told or words, begin, end, out)


def give_up(process):
    """Ends a program that was interrupted or is too late, with its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            process.wait(10)
            return
        except subprocess.TimeoutExpired:
            pass


def numbers(tasks):
    """One line for each task, for programs that read their tasks from stdin."""
    return "".join("%d\n" % i for i in range(tasks))
