"""Programs of Debian 13 (debian13.py: Open MPI 5, PMIx 5) as MPI tasks of a runtime of this Debian: wired up by our own PMIx servers, and
started by a PRRTE DVM that --dvm-uri names.
"""

import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

from harness import MPIEXEC, SOURCE, TestCase, wait_until  # noqa: E402
from debian13 import Debian13, Unavailable  # noqa: E402
from hosts import Hosts  # noqa: E402

DEADLINE = 280

# {enter} is what enters the chroot, where that which starts the ranks is not in it.
FLOW = """
name: debian13
tasks:
  sum:
    command: [{enter}{folder}/mpi_task, sum]
    ranks: 4
    ranks_per_node: {per_node}
    mpi: openmpi
    timeout: 60s
  client:
    command: [{enter}{folder}/pmix_client, any]
    ranks: 4
    mpi: pmix
    timeout: 60s
  place:
    command: [{enter}sh, "-c", 'echo "$TRIREME_RANK $WHOSE $(pwd)"; cat /etc/debian_version']
    ranks: 2
    mpi: openmpi
    env: {{WHOSE: "ours"}}
  crash:
    command: [{enter}{folder}/mpi_task, crash-early, "1"]
    ranks: 2
    mpi: openmpi
    timeout: 60s
  abort:
    command: [{enter}{folder}/mpi_task, abort, "1", "9"]
    ranks: 2
    mpi: openmpi
    timeout: 60s
  missing:
    command: [{enter}/nonexistent/program]
    mpi: openmpi
  many:
    command: [{enter}{folder}/mpi_task, sum]
    foreach: {{i: 1-20}}
    ranks: 2
    mpi: openmpi
    timeout: 60s
    after: [client, sum]
"""


class OnDebian13(TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.root = Debian13()
        except Unavailable as why:
            raise unittest.SkipTest(f"no Debian 13 to be had here: {why}") from why

    def setUp(self):
        super().setUp()
        programs = os.path.join(SOURCE, "tests", "programs")
        for compiler, name, *package in (("mpicc", "mpi_task"), ("gcc", "pmix_client", "pmix")):
            source = shutil.copy(os.path.join(programs, name + ".c"), self.folder)
            self.root.compile(compiler, source, os.path.join(self.folder, name), *package)

    def on_hosts(self):
        """Two hosts from whose processes a chroot finds what it needs."""
        hosts = self.enterContext(Hosts(self.folder, 1, "10.82.0"))
        for name in ("n0", "n1"):
            subprocess.run(hosts.on(name, ["sh", "-ec", self.root.mounts]), check=True, timeout=DEADLINE)
        return hosts

    def mpirun(self, hosts):
        return hosts.on("n0", [MPIEXEC, "--mca", "plm_rsh_agent", hosts.agent, "--host", "n0:1,n1:1", "-n", "2"])

    def check(self, method, nodes, launcher, *options, enter=""):
        """Runs all tasks; the reasons of those that are to fail."""
        cores = 4 // nodes
        flow = FLOW.format(enter=enter, folder=self.folder, per_node=cores)
        words = ["--worker-cores", str(cores), "--launcher", method, *options]
        run = self.start(flow, *words, ranks=nodes, launcher=launcher).finish(DEADLINE)
        events = run.events()
        changes = {e["task"]: e for e in events if e["event"] == "task_changed"}
        reasons = {task: change.get("reason", "") for task, change in changes.items()}
        self.assertEqual(run.code, 1, run.stderr)
        self.assertEqual(run.stdout_of("sum"), "ranks 4 sum 6 ring 3\n", reasons)
        self.assertEqual(run.stdout_of("client"), "ranks 4 read 1010\n", reasons)
        for rank in range(2):
            words = run.stdout_of("place", stream="stdout" + (f".{rank}" if rank else "")).split()
            self.assertEqual(words[:2], [str(rank), "ours"])
            self.assertTrue(words[3].startswith("13"), words)
        self.assertTrue(reasons["crash"].startswith("rank 1: killed by signal 11 (SIGSEGV)\nrank 1 is about to crash"), reasons)
        self.assertIn("exit code 127", reasons["missing"])
        done = [task for task, change in changes.items() if change["state"] == "done"]
        self.assertEqual(len(done), 20 + 3, reasons)
        return reasons


class OurServers(OnDebian13):
    def check_nodes(self, nodes, launcher):
        reasons = self.check("pmix", nodes, launcher, enter=f"chroot, {self.root.path}, ")
        self.assertTrue(reasons["abort"].startswith("rank 1: MPI_Abort with code 9"), reasons)
        self.assert_nothing_left()

    def test_one_node(self):
        self.check_nodes(1, self.root.beside([]))

    def test_two_nodes_of_one_host(self):
        self.check_nodes(2, self.root.beside([MPIEXEC, "-n", "2"]))

    def test_two_hosts(self):
        self.check_nodes(2, self.mpirun(self.on_hosts()))


class Dvm(OnDebian13):
    def check_with(self, dvm, nodes, launcher):
        """`dvm` is the command line that starts it, without where it says its address."""
        address = os.path.join(self.folder, "dvm.uri")
        temporary = os.path.join(self.folder, "dvm")
        os.mkdir(temporary)
        environment = self.environment(PRTE_ALLOW_RUN_AS_ROOT="1", PRTE_ALLOW_RUN_AS_ROOT_CONFIRM="1", TMPDIR=temporary)
        with open(os.path.join(self.folder, "dvm.log"), "w+") as log:
            process = subprocess.Popen([*dvm, "--report-uri", address], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
            try:
                up = "DVM ready"  # what prte prints then

                def is_up():
                    log.seek(0)
                    return up in log.read() or process.poll() is not None

                wait_until(is_up, up)
                reasons = self.check("dvm", nodes, launcher, "--dvm-uri", f"file:{address}")
                # The DVM serves on, whatever becomes of its tasks.
                self.assertIsNone(process.poll())
            finally:
                process.terminate()
                process.wait(60)
                log.seek(0)
                print(log.read(), file=sys.stderr)
        self.assertTrue(reasons["abort"].startswith("rank "), reasons)
        print(reasons["abort"], file=sys.stderr)

    def test_one_node(self):
        self.check_with(self.root.inside(["prte"]), 1, self.root.beside([]))
        self.assert_nothing_left()

    def test_two_hosts(self):
        hosts = self.on_hosts()
        agent = os.path.join(self.folder, "inside")
        with open(hosts.agent) as file, open(agent, "w") as ours:
            ours.write(file.read().replace(" sh -c", f" chroot {self.root.path} sh -c"))
        os.chmod(agent, 0o755)
        # By itself it listens on loopback alone.
        words = ["env", "PMIX_MCA_ptl_base_if_include=eth0", "chroot", self.root.path, "prte", "--prtemca", "plm_ssh_agent", agent, "--host", "n0:4,n1:4"]
        self.check_with(hosts.on("n0", words), 2, self.mpirun(hosts))


if __name__ == "__main__":
    unittest.main()
