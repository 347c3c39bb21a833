"""Hosts on one machine: each a network namespace with a host name, shared memory and processes of its own, all on one bridge.

    with Hosts(folder, 3) as hosts:
        hosts.run(["mpirun", "--mca", "plm_rsh_agent", hosts.agent, "--host", hosts.names(":1"), …])

n0 is where launchers run; n1 … nN are hosts to them. A host is its first process: `kill(name)` ends it with all that runs there.
The bridge is in a namespace of its own, so nothing of it can be reached from outside, and nothing outside from it. Needs root.
"""

import os
import signal
import subprocess
import time

AGENT = """#!/bin/bash
# {agent} [options] HOST COMMAND…: what mpirun calls instead of ssh.
while [ "${{1#-}}" != "$1" ]; do case $1 in -l|-p|-o|-i) shift 2;; *) shift;; esac; done
host=$1; shift
pid=$(cat "{folder}/$host.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null || {{ echo "no route to host $host" >&2; exit 255; }}
pidns=--pid; [ "$host" = n0 ] && pidns=
exec nsenter -t "$pid" --net --uts --ipc --mount $pidns --wd="$PWD" -- sh -c "$*"
"""

# What a host's first process does: it makes the host, says so, and reaps until it is killed.
INIT = """
hostname {name}
mount -t tmpfs -o size=1g tmpfs /dev/shm
{proc}
mount --bind {folder}/hosts /etc/hosts
touch {folder}/{name}.up
exec bash -c 'while :; do sleep 1000000 & wait; done'
"""


def command(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Hosts:
    def __init__(self, folder, count, network="10.77.0"):
        self.folder = os.path.join(folder, "hosts")
        self.count = count
        self.network = network
        self.prefix = f"tr{os.getpid()}-{network}"  # there may be others, in networks of their own
        self.agent = os.path.join(self.folder, "on")
        self.holders = []

    def names(self, suffix=""):
        return ",".join(f"n{i}{suffix}" for i in range(1, self.count + 1))

    def __enter__(self):
        os.mkdir(self.folder)
        with open(self.agent, "w") as file:
            file.write(AGENT.format(agent=self.agent, folder=self.folder))
        os.chmod(self.agent, 0o755)
        with open(os.path.join(self.folder, "hosts"), "w") as file:
            file.write("127.0.0.1 localhost\n")
            file.writelines(f"{self.network}.{100 + i} n{i}\n" for i in range(self.count + 1))
        try:
            command("ip", "netns", "add", f"{self.prefix}-sw")
            command("ip", "-n", f"{self.prefix}-sw", "link", "add", "br0", "type", "bridge")
            command("ip", "-n", f"{self.prefix}-sw", "link", "set", "br0", "up")
            for i in range(self.count + 1):
                self.add(i)
        except BaseException:
            self.__exit__()
            raise
        return self

    def add(self, i):
        switch, space, name = f"{self.prefix}-sw", f"{self.prefix}-n{i}", f"n{i}"
        command("ip", "netns", "add", space)
        # Tentative link-local addresses would upset some launchers.
        command("ip", "netns", "exec", space, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        command("ip", "link", "add", "name", f"e{i}", "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", space)
        command("ip", "-n", switch, "link", "set", f"e{i}", "master", "br0", "up")
        command("ip", "-n", space, "addr", "add", f"{self.network}.{100 + i}/24", "dev", "eth0")
        command("ip", "-n", space, "link", "set", "eth0", "up")
        command("ip", "-n", space, "link", "set", "lo", "up")
        # Launchers run on n0, from where they enter the others: so it keeps the pids of the machine.
        own_pids = i > 0
        init = INIT.format(name=name, folder=self.folder, proc="mount -t proc proc /proc" if own_pids else "")
        unshare = ["unshare", "--uts", "--ipc", "--mount"] + (["--pid", "--fork", "--kill-child"] if own_pids else [])
        holder = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{space}", *unshare, "sh", "-ec", init],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.holders.append(holder)
        end = time.monotonic() + 60
        while not os.path.exists(os.path.join(self.folder, f"{name}.up")):
            if holder.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"host {name} did not come up")
            time.sleep(0.01)
        pid = holder.pid
        if own_pids:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                pid = int(file.read().split()[0])
        with open(os.path.join(self.folder, f"{name}.pid"), "w") as file:
            file.write(str(pid))

    def pid(self, name):
        with open(os.path.join(self.folder, f"{name}.pid")) as file:
            return int(file.read())

    def kill(self, name):
        """The host is gone, as when its power fails."""
        os.kill(self.pid(name), signal.SIGKILL)

    def on(self, name, words):
        """The command line that runs `words` on a host."""
        enter = ["nsenter", "-t", str(self.pid(name)), "--net", "--uts", "--ipc", "--mount"]
        return enter + (["--pid"] if name != "n0" else []) + [f"--wd={os.getcwd()}", "--", *words]

    def __exit__(self, *_):
        for i in range(self.count + 1):
            try:
                self.kill(f"n{i}")
            except OSError:
                pass
            subprocess.run(["ip", "netns", "del", f"{self.prefix}-n{i}"], stderr=subprocess.DEVNULL)
        for holder in self.holders:
            holder.wait()
        subprocess.run(["ip", "netns", "del", f"{self.prefix}-sw"], stderr=subprocess.DEVNULL)
