"""How requests are balanced: every policy, and clients pinned to replicas without a proxy, on the same jobs.

The servers are mock engines with the cost of real ones. Pinned client i asks replica i mod n and has its own part of the jobs;
through the proxy the clients share them. The ideal is what n servers take that each begin the next job of the list when
they are free: no order of arrival that does not know the jobs' lengths does better on average.
"""

import heapq
import json
import os
import random

import rig
from streams import jobs_file

REPLICAS = 4
POLICIES = ("least_outstanding", "power_of_two", "round_robin", "random", "hash", "prefix")
TOKEN_S = 0.001


def completion(prompt, tokens):
    return ("/v1/completions", {"model": "mock", "prompt": prompt, "max_tokens": tokens})


def ideal(tokens):
    """The makespan of a list schedule on equal servers, seconds."""
    free = [0.0] * REPLICAS
    for count in tokens:
        heapq.heappush(free, heapq.heappop(free) + count * TOKEN_S)
    return max(free)


class Skew:
    """One request at a time on equal replicas; lengths from equal to a heavy tail."""

    options = ["--max-batch", "1", "--step-ms", str(TOKEN_S * 1000), "--step-per-request-ms", "0", "--prefill-rate", "1e9"]
    concurrency, clients = 1, 32

    def __init__(self, kind, quick):
        mean, jobs = 50, 100 if quick else 400
        draw = {"equal": lambda r: mean, "exponential": lambda r: r.expovariate(1 / mean), "heavy": lambda r: r.lognormvariate(3.1, 1.3)}[kind]
        source = random.Random(1)
        self.name = f"skew {kind}"
        self.tokens = [max(1, round(draw(source))) for _ in range(jobs)]
        self.jobs = [completion(f"job {i}", count) for i, count in enumerate(self.tokens)]

    def goals(self, spans):
        return [rig.report.goal(f"makespan of least_outstanding against the ideal, {self.name}", spans["least_outstanding"] / ideal(self.tokens), "ratio", 1.02, "lower")]


class Unequal:
    """Replicas that batch, one of full speed, two of half, one of a quarter."""

    name = "unequal speeds"
    options = ["--speed", "4,2,2,1", "--max-batch", "16"]
    concurrency, clients = 16, 28

    def __init__(self, quick):
        source = random.Random(2)
        self.jobs = [completion(f"job {i} " + "x" * source.randrange(2000), 1 + int(source.expovariate(1 / 40))) for i in range(100 if quick else 1000)]

    def goals(self, spans):
        return [rig.report.goal(f"makespan of power_of_two against {other}, unequal speeds", spans["power_of_two"] / spans[other], "ratio", 0.9, "lower")
                for other in ("round_robin", "pinned") if "power_of_two" in spans]


class Prefixes:
    """Prompts of 12 kB; with `shared`, each begins with one of 16 texts, of which a replica's memory holds a few."""

    options = ["--kv-tokens", "24000", "--prefill-rate", "20000", "--max-batch", "8", "--speed", "2"]
    concurrency, clients = 4, 16

    def __init__(self, shared, quick):
        source = random.Random(3)

        def text(size):
            return "".join(source.choices("abcdefghij ", k=size))

        self.shared = shared
        self.name = "shared prefixes" if shared else "no shared prefixes"
        begins = [text(12000) for _ in range(16)]
        self.jobs = [completion((source.choice(begins) if shared else text(12000)) + text(200), 4) for _ in range(80 if quick else 400)]

    def goals(self, spans):
        if "prefix" not in spans:
            return []
        if not self.shared:
            return [rig.report.goal("makespan of prefix against least_outstanding, no shared prefixes", spans["prefix"] / spans["least_outstanding"], "ratio", 1.05, "lower")]
        return [rig.report.goal(f"makespan of prefix against {other}, shared prefixes", spans["prefix"] / spans[other], "ratio", 0.9, "lower")
                for other in ("power_of_two", "round_robin", "pinned") if other in spans]


def scenario(case, policies, repetitions):
    jobs = jobs_file(case.jobs)
    rows = []

    def run(policy, targets, **options):
        result = rig.load(targets, connections=case.clients, jobs=jobs, **options)
        if result["statuses"] != {"200": len(case.jobs)}:
            raise RuntimeError(f"{case.name}, {policy}: {result}")
        rows.append({"section": "balance", "case": case.name, "policy": policy, "makespan_s": result["seconds"], "p50_s": result["latency"]["p50"],
                     "p99_s": result["latency"]["p99"], "servers": result["servers"]})

    services = [rig.Service(policy.replace("_", "-"), REPLICAS, case.concurrency, policy, case.options) for policy in policies]
    try:
        with rig.Trireme(services) as trireme, rig.Mock(REPLICAS, *case.options) as direct:
            for _ in range(repetitions):
                run("pinned", direct.urls, pinned=True)
                for service in services:
                    run(service.policy, trireme.urls[service.name][0])
    finally:
        os.unlink(jobs)
    spans = {policy: sorted(row["makespan_s"] for row in rows if row["policy"] == policy)[(repetitions - 1) // 2] for policy in ("pinned", *policies)}
    return rows, case.goals(spans)


def measure(quick):
    policies = [policy for policy in POLICIES if rig.offers(policy)]
    if quick:
        policies = [policy for policy in policies if policy not in ("random", "hash")]
    cases = [Skew("exponential", quick), Unequal(quick), Prefixes(True, quick), Prefixes(False, quick)]
    if not quick:
        cases = [Skew("equal", quick), Skew("heavy", quick)] + cases
    rows, goals = [], []
    for case in cases:
        wanted = ["least_outstanding"] if quick and isinstance(case, Skew) else policies
        more_rows, more_goals = scenario(case, wanted, 1 if quick else 3)
        rows += more_rows
        goals += more_goals
    return rows, goals
