"""A storm of faults: replicas are killed, stopped and started again while many requests run through three ranks; and the same
while the load rises and falls in waves, so that replicas are added and drained, and all are started anew now and then.

Every request has one definite end within its deadline, those that may be repeated succeed, those that may not are seen at
most once, and afterwards nothing is counted as in progress and no descriptor is left open.

STORM_REQUESTS says how many for each of the three clients and both services (default 2500).
"""

import collections
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
import harness  # noqa: E402

PROGRAMS = os.path.join(harness.BUILD, "tests", "reliability", "proxy")
REPLICA = os.path.join(PROGRAMS, "storm_replica")
CLIENT = os.path.join(PROGRAMS, "storm_client")
RANKS = 3
DEADLINE_S = 120
requests = int(os.environ.get("STORM_REQUESTS", "2500"))

# One core a rank, so that a client runs on each. The gate holds the run open until it has been looked at.
FLOW = f"""
name: storm
services:
  again: &service
    command: [{REPLICA}, "{{port}}", "SEEN/again-{{replica}}"]
    replicas: REPLICAS
    cores: 0
    ready: {{http: /health}}
    live: {{http: /health, every: 1s, failures: 2}}
    restart: {{max: 100000, backoff: 100ms}}
    retry: always
    concurrency: CONCURRENCY
  once:
    <<: *service
    command: [{REPLICA}, "{{port}}", "SEEN/once-{{replica}}"]
    retry: safe
tasks:
  client:
    foreach: {{i: [0, 1, 2]}}
    script: |
      echo "$TRIREME_PROXY_URL" > {{run_dir}}/proxy-{{i}}.part && mv {{run_dir}}/proxy-{{i}}.part {{run_dir}}/proxy-{{i}}
      storm() {{
        while read -r wave count connections; do
          {CLIENT} "$TRIREME_PROXY_URL" $1 $1-{{i}}-$wave $count $connections {DEADLINE_S} || return 1
        done > {{run_dir}}/$1-{{i}}.part <<< 'WAVES'
        mv {{run_dir}}/$1-{{i}}.part {{run_dir}}/$1-{{i}}
      }}
      until [ -e {{run_dir}}/storm ]; do sleep 0.1; done
      storm again & storm once || exit 1
      wait $!
    services: [again, once]
  gate:
    cores: 0
    script: until [ -e {{run_dir}}/calm ]; do sleep 0.1; done
"""


class Faults:
    """Kills and stops replicas; what it has stopped goes on a while later, if it still lives."""

    def __init__(self, test, every):
        self.test = test
        self.every = every
        self.random = random.Random(1)
        self.stopped = []
        self.killed = 0
        self.paused = 0
        self.next = time.monotonic()

    def replicas(self):
        pids = []
        for pid in harness.processes_with(self.test.mark):
            try:
                if os.readlink(f"/proc/{pid}/exe") == REPLICA:
                    pids.append(pid)
            except OSError:
                pass
        return pids

    def step(self):
        now = time.monotonic()
        for until, pid in [entry for entry in self.stopped if entry[0] <= now]:
            self.stopped.remove((until, pid))
            self.signal(pid, signal.SIGCONT)
        if now < self.next:
            return
        self.next = now + self.every
        pids = self.replicas()
        if not pids:
            return
        pid = self.random.choice(pids)
        if self.random.random() < 0.3:
            # Some wake up again, others are found by their liveness probe first.
            self.signal(pid, signal.SIGSTOP)
            self.stopped.append((now + self.random.choice([1, 3, 60]), pid))
            self.paused += 1
        else:
            self.signal(pid, signal.SIGKILL)
            self.killed += 1

    def end(self):
        for _, pid in self.stopped:
            self.signal(pid, signal.SIGCONT)
        self.stopped = []

    def signal(self, pid, number):
        try:
            if os.readlink(f"/proc/{pid}/exe") == REPLICA:
                os.kill(pid, number)
        except OSError:
            pass


class Storm(harness.TestCase):
    def ranks(self):
        """Pids of the runtime's ranks."""
        return [pid for pid in harness.processes_with(self.mark) if self.is_rank(pid)]

    @staticmethod
    def is_rank(pid):
        try:
            return os.readlink(f"/proc/{pid}/exe") == harness.TRIREME
        except OSError:
            return False

    def gauges(self, run):
        """The sums over all ranks of what is counted as in progress."""
        total = collections.Counter()
        for i in range(RANKS):
            with open(os.path.join(run.run_dir, f"proxy-{i}")) as file:
                url = file.read().strip()
            text = urllib.request.urlopen(url + "/metrics", timeout=60).read().decode()
            for line in text.splitlines():
                name = line.split("{")[0]
                if name in ("trireme_num_requests_running", "trireme_num_requests_waiting", "trireme_num_requests_queued",
                            "trireme_replica_requests_active"):
                    total[name] += float(line.split()[-1])
        return total

    def touch(self, run, name):
        with open(os.path.join(run.run_dir, name), "w"):
            pass

    def has(self, run, names):
        if run.process.poll() is not None:
            raise AssertionError("the run has ended: " + run.finish().stderr)
        return all(os.path.exists(os.path.join(run.run_dir, name)) for name in names)

    def waves(self, run):
        """What each client said of each of its waves, by service."""
        out = {}
        for service in ("again", "once"):
            out[service] = []
            for i in range(RANKS):
                with open(os.path.join(run.run_dir, f"{service}-{i}")) as file:
                    out[service] += [json.loads(line) for line in file]
        return out

    def storm(self, replicas, concurrency, waves, meanwhile=lambda run, passed: None):
        """Runs it; `waves` are requests and connections of each client and service, one after the other."""
        seen = os.path.join(self.folder, "seen")
        os.mkdir(seen)
        lines = "".join(f"\n{' ' * 6}{number} {count} {connections}" for number, (count, connections) in enumerate(waves)).strip()
        flow = FLOW
        for name, value in {"SEEN": seen, "REPLICAS": replicas, "CONCURRENCY": str(concurrency), "WAVES": lines}.items():
            flow = flow.replace(name, value)
        run = self.start(flow, "--worker-cores", "1", ranks=RANKS)
        harness.wait_until(lambda: self.has(run, [f"proxy-{i}" for i in range(RANKS)]), "the clients are there", 300)
        ranks = self.ranks()
        self.assertEqual(len(ranks), RANKS)
        before = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in ranks}

        started = time.monotonic()
        self.touch(run, "storm")
        faults = Faults(self, every=2)
        done = [f"{service}-{i}" for service in ("again", "once") for i in range(RANKS)]
        while not self.has(run, done):
            faults.step()
            meanwhile(run, time.monotonic() - started)
            time.sleep(0.05)
            self.assertLess(time.monotonic() - started, 3600, "the storm does not end")
        faults.end()
        took = time.monotonic() - started

        harness.wait_until(lambda: not any(self.gauges(run).values()), "nothing is in progress", 60)
        # Connections to replicas stay open for a while; replicas that were just killed are still being replaced.
        harness.wait_until(
            lambda: all(len(os.listdir(f"/proc/{pid}/fd")) <= before[pid] + 2 for pid in ranks), "descriptors are closed", 120)
        self.touch(run, "calm")
        run.finish()
        self.assertEqual(run.code, 0, run.stderr)

        totals = {service: collections.Counter() for service in ("again", "once")}
        for service, answers in self.waves(run).items():
            self.assertEqual(len(answers), RANKS * len(waves))
            for number, answer in enumerate(answers):
                self.assertEqual((answer["late"], answer["wrong"]), (0, 0), answer)
                self.assertEqual(sum(answer["plain"].values()) + sum(answer["streamed"].values()), waves[number % len(waves)][0], answer)
                for kind in ("plain", "streamed"):
                    totals[service].update({(kind, outcome): count for outcome, count in answer[kind].items()})
        requests = 2 * RANKS * sum(count for count, _ in waves)
        print(f"{requests} requests in {took:.1f} s, {faults.killed} replicas killed, {faults.paused} stopped; "
              f"again: {dict(totals['again'])}; once: {dict(totals['once'])}; descriptors before: {sorted(before.values())}")

        # What may be repeated succeeds; an answer that has begun may still be cut, which the client sees.
        self.assertEqual({outcome for kind, outcome in totals["again"] if kind == "plain"}, {"200"})
        self.assertLessEqual({outcome for kind, outcome in totals["again"] if kind == "streamed"}, {"200", "cut"})
        self.assertLessEqual({outcome for _, outcome in totals["once"]}, {"200", "502", "cut"})
        self.assertGreater(faults.killed + faults.paused, 0)
        ids = collections.Counter()
        for path in glob.glob(os.path.join(seen, "once-*")):
            with open(path) as file:
                ids.update(file.read().split())
        self.assertEqual([name for name, count in ids.items() if count > 1], [], "delivered twice")
        self.assert_nothing_left()
        return run

    def test_storm(self):
        self.storm("3", 8, [(requests, 16)])

    def test_storm_while_replicas_are_scaled(self):
        restarts = []

        def restart(run, passed):
            """All replicas of a service anew, one after the other, every few seconds; the services take turns."""
            if passed < 5 * (len(restarts) + 1):
                return
            service = ("again", "once")[len(restarts) % 2]
            restarts.append(subprocess.run([harness.TRIREME, "restart", run.run_dir, service], capture_output=True, timeout=harness.DEADLINE).returncode)

        # Few requests at a time take longer than the cool-down, many longer than it takes to grow.
        rounds = max(1, requests // 1250)
        run = self.storm("{min: 1, max: 4, cooldown: 1s}", 2, [(1000, 16), (250, 1)] * rounds, restart)
        changes = [event for event in run.events() if event["event"] == "replica_changed"]
        for service in ("again", "once"):
            states = collections.defaultdict(list)
            for event in changes:
                if event["service"] == service:
                    states[event["replica"]].append(event["state"])
            lives = {replica: states[replica].count("ready") for replica in states}
            drained = sum(replica_states.count("draining") for replica_states in states.values())
            print(f"{service}: lives of each replica {lives}, {drained} times drained, restarted {restarts}")
            self.assertGreater(len(lives), 2, "replicas were added")
            self.assertGreater(drained, 1, "replicas were drained")


if __name__ == "__main__":
    unittest.main()
