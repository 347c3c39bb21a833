"""Runs the built program as a user would, and looks at what it leaves behind.

TRIREME_BUILD names the build folder, TRIREME_MPIEXEC its launcher, TRIREME_MPI the kind (openmpi or mpich).
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.parse

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ["TRIREME_BUILD"]
TRIREME = os.path.join(BUILD, "trireme")
MPIEXEC = os.environ["TRIREME_MPIEXEC"]
MPI = os.environ["TRIREME_MPI"]
HERE = os.path.dirname(os.path.abspath(__file__))
DEADLINE = 120


def process_environment(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def processes_with(variable):
    """Pids of the processes that carry NAME=value in their environment."""
    wanted = variable.encode()
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and wanted in process_environment(pid)]


def rank_processes(mark):
    """The ranks' processes by rank, among those that carry the mark."""
    ranks = {}
    for pid in processes_with(mark):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().split(b"\0")
        except OSError:
            continue  # gone meanwhile
        if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(TRIREME) and b"run" in command:
            environment = dict(entry.split(b"=", 1) for entry in process_environment(pid) if b"=" in entry)
            ranks[int(environment.get(b"OMPI_COMM_WORLD_RANK", environment.get(b"PMI_RANK", b"0")))] = pid
    return ranks


def wait_until(condition, what, deadline=DEADLINE):
    """Waits for a state of the world that has no event to wait for."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {deadline} s: {what}")


def kill_all(mark):
    for pid in processes_with(mark):
        with contextlib.suppress(ProcessLookupError):  # gone meanwhile
            os.kill(pid, signal.SIGKILL)


class Run:
    """A run that has been started."""

    def __init__(self, process, run_dir, mark):
        self.process = process
        self.run_dir = run_dir
        self.mark = mark
        self.stdout = self.stderr = ""

    def finish(self, deadline=DEADLINE):
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            kill_all(self.mark)
            self.stdout, self.stderr = self.process.communicate()
            raise AssertionError(f"the run did not end within {deadline} s:\n{self.stderr}")
        return self

    @property
    def code(self):
        return self.process.returncode

    def summary(self):
        with open(os.path.join(self.run_dir, "summary.json")) as file:
            return json.load(file)

    def events(self):
        out = subprocess.run([TRIREME, "events", self.run_dir], check=True, capture_output=True, text=True, timeout=DEADLINE).stdout
        return [json.loads(line) for line in out.splitlines()]

    def stdout_of(self, task, attempt=0, stream="stdout"):
        with open(os.path.join(self.run_dir, "tasks", urllib.parse.quote(task, safe="=,"), str(attempt), stream)) as file:
            return file.read()


class TestCase(unittest.TestCase):
    """Each test has a folder of its own, and a mark in the environment by which its processes are known."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="trireme-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tmp = os.path.join(self.folder, "tmp")
        os.mkdir(self.tmp)
        self.mark = f"TRIREME_TEST_MARK={os.path.basename(self.folder)}"
        self.shared_memory = set(os.listdir("/dev/shm"))

    def environment(self, **extra):
        environment = dict(os.environ, TRIREME_TMPDIR=self.tmp, TRIREME_TEST_MARK=os.path.basename(self.folder))
        environment.pop("TRIREME_RUN_ID", None)
        if os.geteuid() == 0:
            environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        environment["OMPI_MCA_rmaps_base_oversubscribe"] = "1"
        environment.update(extra)
        return environment

    def workflow(self, text, name="flow.yaml"):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, workflow, *options, ranks=None, run_dir=None, launcher=None, environment=None):
        """Starts a workflow, given as YAML text or as a path."""
        path = self.workflow(workflow) if "\n" in workflow else workflow
        run_dir = run_dir or os.path.join(self.folder, "run")
        command = [TRIREME, "run", path, "--run-dir", run_dir, *options]
        if ranks is not None:
            command = (launcher or [MPIEXEC, "-n", str(ranks)]) + command
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment or self.environment(), cwd=self.folder, start_new_session=True,
        )
        run = Run(process, run_dir, self.mark)
        self.addCleanup(self.end, run)
        return run

    def run_workflow(self, workflow, *options, code=0, **keywords):
        run = self.start(workflow, *options, **keywords).finish()
        self.assertEqual(run.code, code, run.stderr + run.stdout)
        return run

    def end(self, run):
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()
        kill_all(self.mark)

    def trireme(self, *arguments, code=0):
        result = subprocess.run([TRIREME, *arguments], capture_output=True, text=True, timeout=DEADLINE, cwd=self.folder, env=self.environment())
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        return result

    def assert_nothing_left(self):
        """No process, no socket or other temporary file, no shared-memory segment.

        Open MPI's own probe, `open_mpi.NNNN`, does not count: each of its processes makes that empty file and unlinks it at
        once, so one that is killed between the two leaves it behind, and nobody can tell it from a living process's.
        """
        wait_until(lambda: not processes_with(self.mark), "all processes of the run are gone", 30)
        self.assertEqual(os.listdir(self.tmp), [])
        left = set(os.listdir("/dev/shm")) - self.shared_memory
        self.assertEqual({name for name in left if not re.fullmatch(r"open_mpi\.\d{4}", name)}, set())
