"""What measurements of requests put side by side: mock servers, Trireme, nginx and haproxy, all on loopback.

Each is a context manager with `url`, where the service is reached, and `pids`, the processes that carry its requests. nginx
and haproxy are one process with one thread, as a rank's proxy is, keep connections to the server open and log nothing.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import report

LOAD = os.path.join(report.RELEASE, "scaling", "http_load")
MOCK = os.path.join(report.RELEASE, "trireme-mock")
TRIREME = os.path.join(report.RELEASE, "trireme")
START_TIMEOUT = 120
TICK = os.sysconf("SC_CLK_TCK")


def program(name):
    """Where it is; what is missing is installed as tools/setup.sh does it for all."""
    where = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if shutil.which(name, path=where) is None:
        subprocess.run(["bash", "-c", ". tools/setup.sh && install_packages tools/packages-scaling"], cwd=report.ROOT, check=True)
    return shutil.which(name, path=where) or sys.exit(f"{name} is missing")


def load(targets, **options):
    """One run of http_load; options as on its command line. Returns what it prints."""
    return finish(start_load(targets, **options))


def start_load(targets, **options):
    command = [LOAD]
    for target in [targets] if isinstance(targets, str) else targets:
        command += ["--target", target]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"http_load ended with {process.returncode}")
    return json.loads(out)


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_bytes(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) * 1024
    return total


def wait_for(condition, what, processes=(), every=0.02):
    until = time.monotonic() + START_TIMEOUT
    while not condition():
        if any(process.poll() is not None for process in processes):
            raise RuntimeError(f"{what}: the program ended")
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not within {START_TIMEOUT} s")
        time.sleep(every)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """Processes in a folder of their own; both are gone at the end."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="trireme-scaling-")
        self.processes = []
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.end()
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)

    def spawn(self, command, **options):
        log = open(os.path.join(self.folder, "log"), "ab")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **options)
        log.close()
        self.processes.append(process)
        return process

    @property
    def pids(self):
        return [process.pid for process in self.processes]


class Mock(Running):
    """Mock servers in one process: `urls`, and `url` of the first."""

    def __init__(self, servers=1, *options):
        self.command = [MOCK, "--servers", str(servers), *options]

    def start(self):
        addresses = os.path.join(self.folder, "addresses")
        self.spawn(self.command + ["--addresses", addresses])
        wait_for(lambda: os.path.exists(addresses), "trireme-mock", self.processes)
        with open(addresses) as file:
            self.urls = file.read().split()
        self.url = self.urls[0]


class Nginx(Running):
    CONFIG = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_max_body_size 0; client_body_buffer_size 64k;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream mock { server 127.0.0.1:UPSTREAM; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:PORT;
    location / { proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
"""

    def __init__(self, upstream):
        self.upstream = upstream

    def start(self):
        port = free_port()
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(self.CONFIG.replace("UPSTREAM", self.upstream.rsplit(":", 1)[1]).replace("PORT", str(port)))
        self.spawn([program("nginx"), "-p", self.folder, "-c", path, "-e", "stderr"])
        wait_for(lambda: listens(port), "nginx", self.processes)
        self.url = f"http://127.0.0.1:{port}"


class Haproxy(Running):
    CONFIG = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 5m
  timeout server 5m
  http-reuse always
frontend in
  bind 127.0.0.1:PORT
  default_backend mock
backend mock
  server mock 127.0.0.1:UPSTREAM pool-max-conn 1024
"""

    def __init__(self, upstream):
        self.upstream = upstream

    def start(self):
        port = free_port()
        path = os.path.join(self.folder, "haproxy.cfg")
        with open(path, "w") as file:
            file.write(self.CONFIG.replace("UPSTREAM", self.upstream.rsplit(":", 1)[1]).replace("PORT", str(port)))
        self.spawn([program("haproxy"), "-db", "-f", path])
        wait_for(lambda: listens(port), "haproxy", self.processes)
        self.url = f"http://127.0.0.1:{port}"


def filled(text, **values):
    """The text with a value for each @name@."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class Run(Running):
    """A run of Trireme, in `run_dir`."""

    def run(self, flow, *options, ranks=1):
        path, self.run_dir = (os.path.join(self.folder, name) for name in ("flow.yaml", "run"))
        with open(path, "w") as file:
            file.write(flow)
        command = [TRIREME, "run", path, "--run-dir", self.run_dir, "--progress", "none", *options]
        if ranks > 1:
            # A run that is stopped fails for mpirun, which would wait before it kills what has ended long since.
            command = ["mpirun.openmpi", "-n", str(ranks), "--bind-to", "none", "--mca", "odls_base_sigkill_timeout", "0"] + command
        self.spawn(command, env=report.mpi_environment())

    def end(self):
        """At once: on a signal, one rank waits for tasks that do not end of themselves, and mpirun for nobody."""
        if self.processes and subprocess.run([TRIREME, "stop", self.run_dir, "--kill"], capture_output=True).returncode != 0:
            super().end()

    def read_services(self):
        """What the log says of them: none while there is no log."""
        out = subprocess.run([TRIREME, "services", self.run_dir, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return json.loads(out) if out else []

    def known(self):
        """The lives of replicas that all ranks have learnt of."""
        return [life for service in self.read_services() for life in service["lives"] if life["publish_s"] is not None]

    def wait_for_replicas(self, count, every=0.1):
        wait_for(lambda: len(self.known()) == count, f"{count} replicas that all ranks know", self.processes, every=every)


class Service:
    """A service of mock servers in Trireme's run."""

    def __init__(self, name="mock", replicas=1, concurrency=1024, policy="least_outstanding", options=()):
        self.name, self.policy = name, policy
        words = [MOCK, "--port", "{port}", "--index", "{replica}", *options]
        self.yaml = f"""
  {name}:
    command: {json.dumps(words)}
    replicas: {replicas}
    cores: 0
    concurrency: {concurrency}
    queue: 100000
    policy: {policy}
    retry: safe
    ready: {{http: /health}}"""


class Trireme(Run):
    """A run with these services. `urls[NAME][RANK]` is where a task on that rank reaches one, `url` the first one's at rank 0."""

    FLOW = """
name: proxy
services:@services@
tasks:
  hold:
    foreach: {i: [@tasks@]}
    script: |
      echo "$TRIREME_PROXY_URL" > @folder@/part.{i} && mv @folder@/part.{i} @folder@/url.{i}
      exec sleep 100000
    services: [@names@]
"""

    def __init__(self, services, ranks=1):
        self.services, self.ranks = services, ranks

    def flow(self, folder):
        return filled(self.FLOW, services="".join(service.yaml for service in self.services), tasks=", ".join(str(i) for i in range(self.ranks)),
                      names=", ".join(service.name for service in self.services), folder=folder)

    def start(self):
        self.run(self.flow(self.folder), "--worker-cores", "1", ranks=self.ranks)
        paths = [os.path.join(self.folder, f"url.{i}") for i in range(self.ranks)]
        wait_for(lambda: all(os.path.exists(path) for path in paths), "trireme run", self.processes)
        # One core a rank, so each task is on a rank of its own; which one, the log says.
        proxies = {}
        for i, path in enumerate(paths):
            with open(path) as file:
                proxies[self.rank_of_task(f"hold[i={i}]")] = file.read().strip()
        self.urls = {service.name: [f"{proxies[rank]}/services/{service.name}" for rank in range(self.ranks)] for service in self.services}
        self.url = self.urls[self.services[0].name][0]

    def events(self):
        lines = subprocess.run([TRIREME, "events", self.run_dir], check=True, capture_output=True, text=True).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def rank_of_task(self, task):
        return self.first_logged(lambda: [event["rank"] for event in self.events() if event["event"] == "attempt_started" and event["task"] == task], task)

    def rank_of_service(self, name):
        """Of its first replica."""
        return self.first_logged(lambda: [life["rank"] for service in self.read_services() if service["service"] == name for life in service["lives"]], name)

    def first_logged(self, read, what):
        """The log is written in groups: what has happened already may reach it a moment later."""
        wait_for(read, f"the start of {what} in the log", self.processes)
        return read()[0]

    @property
    def pids(self):
        """Of the ranks, in no order."""
        first = self.processes[0].pid
        if self.ranks == 1:
            return [first]
        with open(f"/proc/{first}/task/{first}/children") as file:
            return [int(pid) for pid in file.read().split()]


def offers(policy):
    """Whether this build has the policy."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "flow.yaml")
        with open(path, "w") as file:
            file.write(Trireme([Service(policy=policy)]).flow(folder))
        return subprocess.run([TRIREME, "validate", path], capture_output=True).returncode == 0
