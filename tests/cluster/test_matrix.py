#!/usr/bin/python3
"""What starts the runtime × the kind of task × the number of nodes: by which launch method each task runs, and whether it works.

    test_matrix.py [--full] [ROW…]      a ROW is a launcher of matrix.txt, or launcher/nodes

matrix.txt holds what is expected, as a table; this prints what was found in the same form, and fails where they differ. All kinds of
task of a row are one run of the runtime. Each task and each run has a deadline: a cell that hangs is a cell that failed.
Rows whose launcher needs a runtime built with MPICH take that of TRIREME_BUILD_MPICH, or of the `mpich` preset beside this build.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import harness  # noqa: E402
from harness import BUILD  # noqa: E402
from hosts import Hosts  # noqa: E402
from slurm import Slurm  # noqa: E402

BUILDS = {"openmpi": BUILD, "mpich": os.environ.get("TRIREME_BUILD_MPICH", os.path.join(os.path.dirname(BUILD), "mpich"))}
PROGRAMS = os.path.join(BUILD, "tests", "programs")
KINDS = ("plain", "openmpi", "mpich", "client", "hybrid")
CORES = 2
DEADLINE = 150
TASK_TIMEOUT = 60
HANG_TIMEOUT = 20

COMMANDS = {
    "plain": "script: hostname",
    "openmpi": f"command: [{PROGRAMS}/mpi_task.openmpi, sum]",
    "mpich": f"command: [{PROGRAMS}/mpi_task.mpich, sum]",
    "client": f"command: [{PROGRAMS}/pmix_client, {{client}}]",
    "hybrid": f"command: [{PROGRAMS}/hybrid.openmpi]",
}


class Row:
    def __init__(self, line):
        words = line.split()
        self.name, self.nodes = words[0], int(words[1])
        self.launcher, _, self.method = self.name.partition(":")
        self.expected = dict(zip(KINDS, words[2:]))
        self.smoke = "smoke" in words[2 + len(KINDS):]
        self.mpi = "mpich" if self.launcher in ("hydra", "srun-pmi2") else "openmpi"
        # What can be told before: a kind that a method cannot start is not asked for.
        self.kinds = [kind for kind in KINDS if self.expected[kind] != "-"]
        # The more nodes, the less surely Slurm's PMIx finds what a rank elsewhere has published and no fence has collected.
        self.client = "collected" if self.method == "srun" else "any"

    def ranks(self, kind):
        return self.nodes if kind == "hybrid" else self.nodes * CORES


def read_rows():
    with open(os.path.join(HERE, "matrix.txt")) as file:
        return [Row(line) for line in file if line.strip() and not line.startswith("#")]


def workflow(row):
    text = "name: matrix\ntasks:\n"
    for kind in row.kinds:
        timeout = HANG_TIMEOUT if row.expected[kind].endswith("~") or row.method == "dvm" else TASK_TIMEOUT
        text += f"  {kind}:\n    {COMMANDS[kind].format(client=row.client)}\n    ranks: {row.ranks(kind)}\n    timeout: {timeout}s\n"
        text += f"    ranks_per_node: {row.ranks(kind) // row.nodes}\n    cores_per_rank: {CORES if kind == 'hybrid' else 1}\n"
        text += "" if kind == "plain" else "    mpi: true\n"
        # Other launchers now and then fail a task: mpirun leaves a rank in PMIx_Init (docs/spec/launch.md).
        text += "    retries: 3\n" if row.method and not row.expected[kind].endswith("~") else ""
    return text


def right_answer(row, kind, text):
    ranks = row.ranks(kind)
    total = ranks * (ranks + 1) // 2
    return {
        "plain": lambda: bool(text.strip()),
        "openmpi": lambda: text == f"ranks {ranks} sum {total - ranks} ring {ranks - 1}\n",
        "mpich": lambda: text == f"ranks {ranks} sum {total - ranks} ring {ranks - 1}\n",
        "client": lambda: text == f"ranks {ranks} read {total if row.client == 'collected' else 101 * total}\n",
        "hybrid": lambda: text == f"ranks {ranks} threads {CORES * ranks}\n",
    }[kind]()


class Matrix:
    def __init__(self, folder):
        self.folder = folder
        self.hosts = self.slurm = None
        self.count = 0
        self.trouble = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for cluster in (self.hosts, self.slurm):
            if cluster is not None:
                cluster.__exit__()

    def hosts_up(self):
        if self.hosts is None:
            os.mkdir(os.path.join(self.folder, "by-ssh"))
            self.hosts = Hosts(os.path.join(self.folder, "by-ssh"), 4, "10.79.0")
            self.hosts.__enter__()
        return self.hosts

    def slurm_up(self):
        if self.slurm is None:
            os.mkdir(os.path.join(self.folder, "by-slurm"))
            self.slurm = Slurm(os.path.join(self.folder, "by-slurm"), 4, CORES, "10.80.0")
            self.slurm.__enter__()
        return self.slurm

    def launch(self, row, environment):
        """The launcher's command line, and its environment."""
        nodes = str(row.nodes)
        if row.launcher == "alone":
            return [], environment
        if row.launcher in ("mpirun", "hydra"):
            hosts = self.hosts_up()
            names = [f"n{i + 1}" for i in range(row.nodes)]
            if row.launcher == "mpirun":
                words = ["mpirun.openmpi", "--mca", "plm_rsh_agent", hosts.agent, "--host", ",".join(f"{name}:1" for name in names), "-n", nodes]
            else:
                words = ["mpiexec.mpich", "-launcher", "ssh", "-launcher-exec", hosts.agent, "-hosts", ",".join(names), "-n", nodes]
            return hosts.on("n0", words), environment
        slurm = self.slurm_up()
        plugin = row.launcher.partition("-")[2]
        words = ["srun", f"--mpi={plugin}", f"-N{nodes}", "--ntasks-per-node=1", f"--cpus-per-task={CORES}", "--cpu-bind=none"]
        return slurm.on_head(words), slurm.environment(environment)

    def run(self, row):
        """By kind of task, the method that was used, with ~ where the task gave its answer and did not end; or what went wrong."""
        self.count += 1
        run_dir = os.path.join(self.folder, f"run{self.count}")
        flow = os.path.join(self.folder, f"flow{self.count}.yaml")
        with open(flow, "w") as file:
            file.write(workflow(row))
        temporary = os.path.join(self.folder, f"tmp{self.count}")
        os.mkdir(temporary)
        mark = f"matrix-{os.getpid()}-{self.count}"
        environment = dict(os.environ, TRIREME_TMPDIR=temporary, TRIREME_TEST_MARK=mark, OMPI_ALLOW_RUN_AS_ROOT="1",
                           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1")
        launcher, environment = self.launch(row, environment)
        trireme = os.path.join(BUILDS[row.mpi], "trireme")
        words = [*launcher, trireme, "run", flow, "--run-dir", run_dir, "--worker-cores", str(CORES), "--progress", "none"]
        words += ["--launcher", row.method] if row.method else []
        with open(os.path.join(self.folder, f"out{self.count}"), "w+") as out:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
                                       cwd=self.folder, start_new_session=True)
            try:
                process.wait(DEADLINE)
                hung = ""
            except subprocess.TimeoutExpired:
                hung = f"the run did not end within {DEADLINE} s"
            if hung:
                harness.kill_all(f"TRIREME_TEST_MARK={mark}")
            process.wait()
            out.seek(0)
            words = hung or out.read()[-2000:]
        return {kind: self.cell(row, kind, run_dir, words) for kind in row.kinds}

    def cell(self, row, kind, run_dir, words):
        listed = subprocess.run([harness.TRIREME, "events", run_dir], capture_output=True, text=True, timeout=DEADLINE)
        run = harness.Run(None, run_dir, "")
        events = run.events() if listed.returncode == 0 else []
        launches = [e.get("launch", "direct") for e in events if e["event"] == "attempt_started" and e["task"] == kind]
        changes = [e for e in events if e["event"] == "task_changed" and e["task"] == kind]
        attempt = max((e["attempt"] for e in events if e["event"] == "attempt_started" and e["task"] == kind), default=0)
        try:
            answered = right_answer(row, kind, run.stdout_of(kind, attempt))
        except OSError:
            answered = False
        placed = {e["rank"] for e in events if e["event"] == "attempt_placed" and e["task"] == kind}
        state = changes[-1]["state"] if changes else "never started"
        method = launches[0].partition(":")[0] if launches else ""
        if answered and state == "done" and len(placed) == row.nodes:
            return method
        if answered and "timeout" in changes[-1]["reason"]:
            return method + "~"
        why = changes[-1].get("reason", "") if changes else words
        self.trouble.append(f"{row.name}/{row.nodes} {kind}: {state} on nodes {sorted(placed)} by '{method}': {why}")
        return "FAILED"


def same(expected, found):
    return found == expected or (expected.endswith("~") and found == expected[:-1])


def choose_rows(arguments):
    names = [argument for argument in arguments if not argument.startswith("-")]
    rows = read_rows()
    if names:
        return [row for row in rows if row.name in names or f"{row.name}/{row.nodes}" in names]
    return [row for row in rows if row.smoke or "--full" in arguments]


def main():
    rows = choose_rows(sys.argv[1:])
    folder = tempfile.mkdtemp(prefix="trireme-matrix-")
    form = "{:16}  {:5}  " + "  ".join("{:8}" for _ in KINDS) + "  {}"
    wrong = []
    print(form.format("launcher", "nodes", *KINDS, "seconds"), flush=True)
    try:
        with Matrix(folder) as matrix:
            for row in rows:
                if not os.path.exists(os.path.join(BUILDS[row.mpi], "trireme")):
                    print(f"{row.name}/{row.nodes}: there is no runtime built with {row.mpi}", flush=True)
                    wrong.append(f"{row.name}/{row.nodes}")
                    continue
                begin = time.monotonic()
                found = matrix.run(row)
                print(form.format(row.name, row.nodes, *(found.get(kind, "-") for kind in KINDS), f"{time.monotonic() - begin:.1f}"), flush=True)
                wrong += [f"{row.name}/{row.nodes} {kind}: {found[kind]}, expected {row.expected[kind]}"
                          for kind in row.kinds if not same(row.expected[kind], found[kind])]
            print(*matrix.trouble, sep="\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(["", "not as expected:", *wrong] if wrong else ["", "all as expected"]))
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
