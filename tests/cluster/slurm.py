"""A real Slurm on one machine: a controller on n0 and a node daemon on each of n1 … nN (hosts.py), from Debian's packages.

    with Slurm(folder, 3, cores=4) as slurm:
        slurm.run(["srun", "-N3", "--mpi=pmix", …], env)

It has its own munge key and socket, its folders are under `folder`, and its ports are in the network of its hosts: it touches no
Slurm of the machine and leaves nothing behind. Cores are declared and not enforced, so there may be more than the machine has.
Needs root.
"""

import os
import signal
import subprocess
import time

from hosts import Hosts

# TmpFS and the spool are each node's own, else the second node finds the first one's files there and its steps fail. cgroup/v1
# touches nothing as long as no other plugin asks for cgroups; 22.05 wants one all the same.
CONF = """
ClusterName=trireme
SlurmctldHost=n0({head})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
SlurmdTimeout=30
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
"""
CGROUP = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"


class Slurm:
    def __init__(self, folder, nodes, cores=4, network="10.78.0"):
        self.folder = os.path.join(folder, "slurm")
        self.nodes = nodes
        self.cores = cores
        self.hosts = Hosts(folder, nodes, network)
        self.daemons = []

    def __enter__(self):
        self.hosts.__enter__()
        try:
            self.configure()
            self.start()
        except BaseException as error:
            words = self.last_words()
            self.__exit__()
            raise RuntimeError(f"Slurm did not come up:\n{words}") from error
        return self

    def configure(self):
        for name in ("state", "spool", "tmp"):
            os.makedirs(os.path.join(self.folder, name))
        for i in range(1, self.nodes + 1):
            os.mkdir(os.path.join(self.folder, "spool", f"n{i}"))
            os.mkdir(os.path.join(self.folder, "tmp", f"n{i}"))
            os.chmod(os.path.join(self.folder, "tmp", f"n{i}"), 0o1777)
        # munged wants that no other user could have changed its folder; its clients must get through to the socket.
        os.chmod(self.folder, 0o755)
        network = self.hosts.network
        with open(os.path.join(self.folder, "slurm.conf"), "w") as file:
            file.write(CONF.format(folder=self.folder, head=f"{network}.100"))
            for i in range(1, self.nodes + 1):
                file.write(f"NodeName=n{i} NodeAddr={network}.{100 + i} CPUs={self.cores} RealMemory=2000 State=UNKNOWN\n")
            file.write(f"PartitionName=main Nodes=n[1-{self.nodes}] Default=YES MaxTime=INFINITE State=UP\n")
        with open(os.path.join(self.folder, "cgroup.conf"), "w") as file:
            file.write(CGROUP)
        with open(os.open(os.path.join(self.folder, "munge.key"), os.O_WRONLY | os.O_CREAT, 0o400), "wb") as file:
            file.write(os.urandom(1024))

    def daemon(self, host, words):
        with open(os.path.join(self.folder, f"{words[0]}.{host}.out"), "w") as out:
            self.daemons.append(subprocess.Popen(self.hosts.on(host, words), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                 env=self.environment(), start_new_session=True))

    def start(self):
        at = self.folder
        self.daemon("n0", ["munged", "--foreground", "--force", f"--key-file={at}/munge.key", f"--socket={at}/munge.socket",
                           f"--pid-file={at}/munge.pid", f"--log-file={at}/munge.log", f"--seed-file={at}/munge.seed"])
        self.wait(lambda: os.path.exists(f"{at}/munge.socket"), "munged")
        self.daemon("n0", ["slurmctld", "-D", "-f", f"{at}/slurm.conf"])
        for i in range(1, self.nodes + 1):
            self.daemon(f"n{i}", ["slurmd", "-D", "-N", f"n{i}", "-f", f"{at}/slurm.conf"])
        self.wait(lambda: self.run(["sinfo", "-h", "-t", "idle", "-o", "%D"]).stdout.strip() == str(self.nodes), "all nodes are idle")

    def wait(self, condition, what, deadline=60):
        end = time.monotonic() + deadline
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline} s: {what}")
            time.sleep(0.05)

    def environment(self, base=None):
        """What a login shell of this cluster has. No variable of an outer Slurm."""
        environment = {name: value for name, value in (base or os.environ).items() if not name.startswith("SLURM")}
        environment["SLURM_CONF"] = os.path.join(self.folder, "slurm.conf")
        return environment

    def on_head(self, words):
        """The command line that runs `words` where a user would: on the login node."""
        return self.hosts.on("n0", words)

    def run(self, words, environment=None, timeout=60):
        return subprocess.run(self.on_head(words), capture_output=True, text=True, timeout=timeout, env=self.environment(environment))

    def last_words(self):
        out = ""
        for name in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []:
            if name.endswith((".out", ".log")):
                with open(os.path.join(self.folder, name), errors="replace") as file:
                    out += f"--- {name}\n" + "".join(file.readlines()[-10:])
        return out

    def __exit__(self, *_):
        # The first process of a host ends all others there; those on n0 are processes of this machine.
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.hosts.__exit__()
