"""MPI tasks: each kind of program under each launcher of the runtime, on one and on several (virtual) nodes; and how they fail."""

import glob
import os
import re
import signal
import unittest

import harness
from harness import BUILD, MPI, MPIEXEC, TestCase

PROGRAMS = os.path.join(BUILD, "tests", "programs")
PMIX = os.path.exists(os.path.join(BUILD, "trireme-pmix"))
KINDS = (["openmpi"] if PMIX else []) + ["mpich"]
PMIX_CLIENT = os.path.join(PROGRAMS, "pmix_client")
METHOD = {"openmpi": "pmix", "mpich": "pmi"}
DEADLINE = 180


def program(name, kind):
    return os.path.join(PROGRAMS, f"{name}.{kind}")


def task(name, command, ranks, mpi="true", **keys):
    lines = [f"  {name}:", f"    command: [{', '.join(command)}]", f"    ranks: {ranks}", f"    mpi: {mpi}"]
    lines += [f"    {key}: {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


class MpiTest(TestCase):
    def run_tasks(self, tasks, nodes, cores, *options, code=0, **keywords):
        ranks = None if nodes == 1 else nodes
        run = self.start("name: mpi\ntasks:\n" + "".join(tasks), "--worker-cores", str(cores), *options, ranks=ranks, **keywords)
        run.finish(DEADLINE)
        self.assertEqual(run.code, code, run.stderr + run.stdout)
        return run

    def processes_named(self, name):
        """Pids of this test's processes that run that program."""
        found = []
        for pid in harness.processes_with(self.mark):
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() == name:
                        found.append(pid)
            except OSError:
                continue
        return found

    def launches(self, run):
        return {event["task"]: event["launch"] for event in run.events() if event["event"] == "attempt_started"}

    def reason(self, run, name):
        events = [e for e in run.events() if e["event"] == "task_changed" and e["task"] == name]
        self.assertEqual(events[-1]["state"], "failed")
        return events[-1]["reason"]


class Works(MpiTest):
    """Every cell of the matrix: kind of task, ranks, nodes."""

    def check_kind(self, kind, nodes):
        cores = 4 // nodes if nodes < 3 else 2
        tasks = [task(f"sum{ranks}", [program("mpi_task", kind), "sum"], ranks) for ranks in (1, 2, 4)]
        tasks.append(task("hybrid", [program("hybrid", kind)], 2, cores_per_rank=2))
        run = self.run_tasks(tasks, nodes, cores)
        for ranks in (1, 2, 4):
            expected = f"ranks {ranks} sum {ranks * (ranks - 1) // 2} ring {ranks - 1}\n"
            self.assertEqual(run.stdout_of(f"sum{ranks}"), expected)
        self.assertEqual(run.stdout_of("hybrid"), "ranks 2 threads 4\n")
        for name, launch in self.launches(run).items():
            self.assertTrue(launch.startswith(METHOD[kind] + ": ") and "is linked to lib" in launch, (name, launch))
        self.assert_nothing_left()


def add_cells():
    for kind in KINDS:
        for nodes in (1, 2, 3):
            setattr(Works, f"test_{kind}_on_{nodes}", lambda self, kind=kind, nodes=nodes: self.check_kind(kind, nodes))


add_cells()


class WorksWithPmix(MpiTest):
    def test_pmix_client(self):
        for nodes, cores in ((1, 4), (2, 2)):
            run_dir = os.path.join(self.folder, f"run{nodes}")
            run = self.run_tasks([task("client", [PMIX_CLIENT], 4)], nodes, cores, run_dir=run_dir)
            self.assertEqual(run.stdout_of("client"), f"ranks 4 read {10 + 1000}\n")
            self.assertIn("pmix: ", self.launches(run)["client"])

    def test_ranks_load_no_library_of_x11(self):
        what = "import os; from mpi4py import MPI; print(any('libX11' in line for line in open('/proc/self/maps')), os.environ.get('HWLOC_PLUGINS_BLACKLIST'))"
        tasks = [task("plain", ["/usr/bin/python3", "-c", f'"{what}"'], 2), task("own", ["/usr/bin/python3", "-c", f'"{what}"'], 2, env='{HWLOC_PLUGINS_BLACKLIST: none}')]
        run = self.run_tasks(tasks, 1, 2)
        self.assertTrue(run.stdout_of("plain").startswith("False "), run.stdout_of("plain"))
        self.assertTrue(run.stdout_of("own").endswith(" none\n"), run.stdout_of("own"))

    def test_mpi4py_is_known_by_its_module(self):
        script = os.path.join(self.folder, "sum.py")
        with open(script, "w") as file:
            file.write("from mpi4py import MPI\nc = MPI.COMM_WORLD\ns = c.allreduce(c.rank)\nif c.rank == 0: print(c.size, s)\n")
        run = self.run_tasks([task("py", ["/usr/bin/python3", script], 3)], 1, 3)
        self.assertEqual(run.stdout_of("py"), "3 3\n")
        self.assertEqual(self.launches(run)["py"], "pmix: /usr/bin/python3's mpi4py is linked to libmpi.so.40")

    def test_many_at_once_and_many_in_a_row(self):
        tasks = "name: many\ntasks:\n  many:\n    foreach: {i: 1-40}\n"
        tasks += f"    command: [{program('mpi_task', 'openmpi')}, sum]\n    ranks: 2\n    mpi: openmpi\n"
        environment = self.environment(OMPI_MCA_pml="ob1", OMPI_MCA_btl="self,vader")
        run = self.start(tasks, "--worker-cores", "8", environment=environment).finish(DEADLINE)
        self.assertEqual(run.code, 0, run.stderr)
        self.assertEqual(run.summary()["tasks"]["done"], 40)
        self.assert_nothing_left()


PI = """
from mpi4py import MPI
comm, n = MPI.COMM_WORLD, 100000
part = sum(4.0 / (1.0 + ((i + 0.5) / n) ** 2) for i in range(comm.rank, n, comm.size)) / n
pi = comm.reduce(part)
if comm.rank == 0: print(f"{pi:.9f}")
"""


class ForeignPrograms(MpiTest):
    """MPI programs from Debian's packages, across virtual nodes: their numbers are right."""

    def test_hpcc_and_mpi4py(self):
        with open("/usr/share/doc/hpcc/examples/_hpccinf.txt") as file:
            settings = file.read().replace("1000         Ns", "200          Ns")
        for name, text in (("hpccinf.txt", settings), ("pi.py", PI)):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
        inputs = "[{from: %s/hpccinf.txt, to: hpccinf.txt}]" % self.folder
        tasks = [task("hpcc", ["hpcc"], 4, inputs=inputs), task("pi", ["/usr/bin/python3", f"{self.folder}/pi.py"], 4)]
        run = self.run_tasks(tasks, 2, 2)
        self.assertEqual(run.stdout_of("pi"), "3.141592654\n")
        with open(os.path.join(run.run_dir, "tasks", "hpcc", "0", "hpccoutf.txt")) as file:
            result = dict(line.strip().split("=", 1) for line in file if line.count("=") == 1 and " " not in line.strip())
        self.assertEqual((result["Success"], result["CommWorldProcs"], result["HPL_N"]), ("1", "4", "200"))
        self.assertLess(float(result["PTRANS_residual"]), 1)
        self.assertEqual(float(result["MPIRandomAccess_ErrorsFraction"]), 0)
        self.assertLess(float(result["MPIFFT_maxErr"]), 1e-12)
        self.assertIn("hpcc is linked to libmpi.so.40", self.launches(run)["hpcc"])


# ScaLAPACK's own test of its LU factorisation: sizes, blocks, right-hand sides and process grids, and the limit of scaled residuals.
LU = """'SCALAPACK, LU factorization input file'
'MPI Machine'
'LU.out' output file name
6 device out
2 number of problem sizes
24 41 values of M
24 41 values of N
1 number of NB's
8 values of NB
1 number of NRHS's
3 values of NRHS
1 number of NBRHS's
4 values of NBRHS
2 number of process grids
1 2 values of P
2 1 values of Q
1.0 threshold
T test condition estimation and iterative refinement
"""


class Scalapack(MpiTest):
    """A library's own tests as tasks, built by Debian with each MPI."""

    def test_linear_systems_are_solved(self):
        with open(os.path.join(self.folder, "LU.dat"), "w") as file:
            file.write(LU)
        inputs = "[{from: %s/LU.dat, to: LU.dat}]" % self.folder
        programs = "/usr/lib/x86_64-linux-gnu/scalapack"
        tasks = [task(kind, [f"{programs}/{kind}-tests/xdlu"], 2, inputs=inputs) for kind in KINDS]
        run = self.run_tasks(tasks, 2, 1)
        for kind in KINDS:
            out = run.stdout_of(kind)
            self.assertEqual(len(re.findall(r"^WALL .* PASSED\s*$", out, re.M)), 4, out)
            self.assertRegex(out, "4 tests completed and passed residual checks", out)
            self.assertRegex(out, " 0 tests completed and failed residual checks", out)
            self.assertTrue(self.launches(run)[kind].startswith(METHOD[kind] + ": "), self.launches(run))


class Fails(MpiTest):
    """A task that goes wrong is a failed task with its culprit named, and no rank of it stays; the others go on."""

    CASES = {
        "abort": (["abort", "1", "17"], "rank 1: MPI_Abort with code 17", "rank 1 gives up"),
        "crash": (["crash", "2"], "rank 2: killed by signal 11 (SIGSEGV)", "rank 2 is about to crash"),
        "crash-early": (["crash-early", "1"], "rank 1: killed by signal 11 (SIGSEGV)", "rank 1 is about to crash"),
        "leave": (["leave", "2"], "rank 2: it ended without MPI_Finalize", ""),
    }

    def check_kind(self, kind, nodes):
        cores = 12 // nodes
        tasks = [task(name, [program("mpi_task", kind), *case[0]], 3) for name, case in self.CASES.items()]
        tasks.append(task("good", [program("mpi_task", kind), "sum"], 3))
        run = self.run_tasks(tasks, nodes, cores, code=1)
        for name, (_, expected, words) in self.CASES.items():
            reason = self.reason(run, name)
            self.assertTrue(reason.startswith(expected), (name, reason))
            self.assertIn(words, reason)
        self.assertEqual(run.stdout_of("good"), "ranks 3 sum 3 ring 2\n")
        self.assert_nothing_left()

    def test_a_rank_that_leaves_is_noticed_where_it_was_the_only_one(self):
        for kind in KINDS:
            run_dir = os.path.join(self.folder, kind)
            run = self.run_tasks([task("leave", [program("mpi_task", kind), "leave", "1"], 2)], 2, 1, code=1, run_dir=run_dir)
            self.assertTrue(self.reason(run, "leave").startswith("rank 1: it ended without MPI_Finalize"), kind)
        self.assert_nothing_left()

    def test_a_cancelled_task_is_ended_on_all_nodes(self):
        for kind in KINDS:
            run_dir = os.path.join(self.folder, kind)
            tasks = [task("waits", [program("mpi_task", kind), "sleep"], 2, timeout="3s")]
            run = self.run_tasks(tasks, 2, 1, code=1, run_dir=run_dir)
            self.assertIn("timeout", self.reason(run, "waits"))
        self.assert_nothing_left()


def add_failures():
    for kind in KINDS:
        for nodes in (1, 2):
            setattr(Fails, f"test_{kind}_on_{nodes}", lambda self, kind=kind, nodes=nodes: self.check_kind(kind, nodes))


add_failures()


def ranks_that_wait(run, name):
    """How many ranks of the task's first attempt have said that they wait."""
    count = 0
    for path in glob.glob(os.path.join(run.run_dir, "tasks", name, "0", "stdout*")):
        with open(path) as file:
            count += "waits" in file.read()
    return count


class ServerLost(MpiTest):
    def test_a_dead_server_fails_its_tasks_and_the_next_task_gets_a_new_one(self):
        tasks = [task("waits", [program("mpi_task", "openmpi"), "sleep"], 2), task("after", [program("mpi_task", "openmpi"), "sum"], 2)]
        flow = "name: lost\ntasks:\n" + "".join(tasks) + "    after: [marker]\n  marker:\n    script: 'while [ ! -e {run_dir}/go ]; do sleep 0.1; done'\n"
        run = self.start(flow, "--worker-cores", "4")
        harness.wait_until(lambda: "waits" in self.read(run, "waits"), "the ranks are inside MPI")
        servers = self.processes_named("trireme-pmix")
        self.assertEqual(len(servers), 1)
        os.kill(servers[0], 9)
        open(os.path.join(run.run_dir, "go"), "w").close()
        run.finish(DEADLINE)
        self.assertEqual(run.code, 1, run.stderr)
        self.assertRegex(self.reason(run, "waits"), "^the PMIx server of host .* was lost: (killed by signal 9|its connection broke)")
        self.assertEqual(run.stdout_of("after"), "ranks 2 sum 1 ring 1\n")
        self.assert_nothing_left()  # the new server removed what the dead one had in shared memory

    @staticmethod
    def read(run, name):
        try:
            return run.stdout_of(name)
        except OSError:
            return ""


# States of /proc/net/tcp: a listener; connected, and connected with the other end closed.
LISTENS, OPEN = "0A", ("01", "08")

# A task that dies at a bad moment for the server, and one that needs the same server afterwards.
BAD_MOMENT = """
name: moment
tasks:
  dies:
    script: '{dies}'
    ranks: 3
    mpi: openmpi
  marker:
    script: 'until [ -e {{run_dir}}/next ]; do sleep 0.1; done'
  after:
    command: [{client}]
    ranks: 2
    mpi: openmpi
    after: [marker]
"""


class ServerHolds(MpiTest):
    """The PMIx server outlives ranks that die at any moment: here while it is held, so that it meets all their ends at once. The
    pilot is held as well: it would close the namespace."""

    def start_dying(self, dies):
        run = self.start(BAD_MOMENT.format(dies=dies, client=PMIX_CLIENT), "--worker-cores", "6")
        harness.wait_until(lambda: ranks_that_wait(run, "dies") == 3, "all ranks are there")
        servers = self.processes_named("trireme-pmix")
        self.assertEqual(len(servers), 1)
        os.kill(servers[0], signal.SIGSTOP)
        os.kill(run.process.pid, signal.SIGSTOP)
        return run, servers[0]

    def kill_ranks(self, name):
        """The last one first."""
        for pid in sorted(self.processes_named(name), key=lambda pid: rank_variable(harness.process_environment(pid)), reverse=True):
            os.kill(pid, 9)
            harness.wait_until(lambda pid=pid: not is_running(pid), "the rank has died")

    def check_end(self, run, server):
        os.kill(server, signal.SIGCONT)
        harness.wait_until(lambda: connections(server) == 0, "it has seen all their ends")
        os.kill(run.process.pid, signal.SIGCONT)
        harness.wait_until(lambda: any(e["event"] == "task_changed" and e["task"] == "dies" and e["state"] == "failed" for e in run.events()), "it failed")
        open(os.path.join(run.run_dir, "next"), "w").close()
        run.finish(DEADLINE)
        self.assertIn("killed by signal 9", self.reason(run, "dies"))
        self.assertEqual(run.stdout_of("after"), f"ranks 2 read {3 + 300}\n")
        self.assertEqual(len(glob.glob(os.path.join(run.run_dir, "nodes", "*", "pmix-*.log"))), 1)
        self.assert_nothing_left()

    def test_ranks_that_die_while_they_connect(self):
        run, server = self.start_dying("echo waits; until [ -e {run_dir}/go ]; do sleep 0.1; done; exec %s sleep" % program("mpi_task", "openmpi"))
        open(os.path.join(run.run_dir, "go"), "w").close()
        harness.wait_until(lambda: connections(server, unread=True) == 3, "all ranks have said who they are")
        self.kill_ranks("mpi_task.openmp")
        self.check_end(run, server)

    def test_ranks_that_die_in_a_fence(self):
        run, server = self.start_dying(f"exec {PMIX_CLIENT} wait")
        self.kill_ranks("pmix_client")
        self.check_end(run, server)


def rank_variable(environment):
    return max([entry for entry in environment if entry.startswith(b"PMIX_RANK=")], default=b"")


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def connections(server, unread=False):
    """How many connections lead to that process's listening sockets, or those with bytes that it has not read; none if it is gone."""
    inodes = set()
    try:
        for fd in os.listdir(f"/proc/{server}/fd"):
            target = os.readlink(f"/proc/{server}/fd/{fd}")
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return 0
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    ports = {row[1] for row in rows if row[3] == LISTENS and row[9] in inodes}
    return sum(row[1] in ports and row[3] in OPEN and (not unread or int(row[4].split(":")[1], 16) > 0) for row in rows)


# The first attempt waits for ever; the next, on the nodes that are left, does its work.
LOSS = """
name: loss
tasks:
  wide:
    script: |
      if [ {{attempt}} = 0 ]; then exec {task} sleep; fi
      exec {task} sum
    ranks: 3
    mpi: {kind}
"""


class NodeLost(MpiTest):
    """The runtime outlives a rank only under Open MPI's mpirun with recovery: elsewhere this is empty."""

    def check_kind(self, kind):
        launcher = [MPIEXEC, "--enable-recovery", "--mca", "btl", "self,vader", "--mca", "pml", "ob1", "-n", "3"]
        flow = LOSS.format(task=program("mpi_task", kind), kind=kind)
        run = self.start(flow, "--worker-cores", "2", ranks=3, launcher=launcher)
        harness.wait_until(lambda: ranks_that_wait(run, "wide") == 3, "all ranks are inside MPI")
        victims = [pid for pid in self.processes_named("trireme") if b"OMPI_COMM_WORLD_RANK=1" in harness.process_environment(pid)]
        self.assertEqual(len(victims), 1)
        os.kill(victims[0], 9)
        run.finish(DEADLINE)
        self.assertEqual(run.summary()["tasks"]["done"], 1, run.stderr)
        outcomes = {e["outcome"] for e in run.events() if e["event"] == "attempt_ended" and e["attempt"] == 0}
        self.assertEqual(outcomes, {"lost", "cancelled"})
        self.assertEqual(run.stdout_of("wide", 1), "ranks 3 sum 3 ring 2\n")


def add_losses():
    for kind in KINDS:
        setattr(NodeLost, f"test_{kind}", lambda self, kind=kind: self.check_kind(kind))


if MPI == "openmpi":
    add_losses()
if not PMIX:
    del WorksWithPmix, ForeignPrograms, ServerLost, ServerHolds


if __name__ == "__main__":
    unittest.main()
