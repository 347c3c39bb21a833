"""What a hop costs: latency on the same node and across ranks, and requests per second of processor time."""

import contextlib
import re
import statistics
import subprocess

import rig

BODY = 1024
WARM_UP = 0.25  # of the time that is counted
OTHERS = ("nginx", "haproxy")


def request(url, connections, seconds):
    result = rig.load(url, connections=connections, seconds=seconds, warm_up=seconds * WARM_UP, path="/noop", body_bytes=BODY)
    if set(result["statuses"]) != {"200"} or result["broken"]:
        raise RuntimeError(f"requests failed at {url}: {result['statuses']}, {result['broken']} broken")
    return result


@contextlib.contextmanager
def side_by_side():
    """The same server, reached directly and through each."""
    with rig.Mock() as mock, rig.Nginx(mock.url) as nginx, rig.Haproxy(mock.url) as haproxy, rig.Trireme([rig.Service()]) as trireme:
        yield {"direct": mock, "trireme": trireme, "nginx": nginx, "haproxy": haproxy}


def latency(ways, quick):
    rows = []
    for repetition in range(3 if quick else 15):
        for name, way in ways.items():
            result = request(way.url, 1, 0.4 if quick else 2)
            rows.append({"section": "latency", "via": name, "repetition": repetition, "p50_s": result["latency"]["p50"], "p99_s": result["latency"]["p99"]})

    def values(name, key):
        return [row[key] for row in rows if row["via"] == name]

    def added(name):
        return [p50 - direct for p50, direct in zip(values(name, "p50_s"), values("direct", "p50_s"))]

    median = statistics.median
    tail = median(ours / theirs for ours, theirs in zip(values("trireme", "p99_s"), values("nginx", "p99_s")))
    share = median(added("trireme")) / median(added("nginx"))
    return rows, [
        rig.report.goal("p50 that a hop adds, of what nginx adds", share, "ratio", 1.0, "lower"),
        rig.report.goal("p99 of a hop, of nginx's", tail, "ratio", 1.5, "lower"),
    ]


def throughput(ways, quick):
    rows, goals = [], []
    for connections in (16, 1000):
        for repetition in range(2 if quick else 7):
            for name, way in ways.items():
                seconds = 0.5 if quick else 4
                before = rig.cpu_seconds(way.pids)
                result = request(way.url, connections, seconds)
                # The load's warm-up is in the processor time too, at the same rate.
                cpu = (rig.cpu_seconds(way.pids) - before) / (1 + WARM_UP)
                rate = result["requests"] / result["seconds"]
                rows.append({"section": "throughput", "via": name, "connections": connections, "repetition": repetition, "requests_per_s": rate,
                             "requests_per_cpu_s": result["requests"] / cpu if cpu > 0 else 0, "p50_s": result["latency"]["p50"], "p99_s": result["latency"]["p99"]})
        for other in OTHERS:
            ours, theirs = ([row["requests_per_cpu_s"] for row in rows if row["connections"] == connections and row["via"] == name] for name in ("trireme", other))
            share = statistics.median(a / b for a, b in zip(ours, theirs))
            goals.append(rig.report.goal(f"requests per CPU second of {other}'s, {connections} connections", share, "ratio", 1.0, "higher"))
    return rows, goals


def fabric_round_trip():
    """The p50 of a message and its answer between two ranks that both poll, seconds: what MPI itself costs here."""
    command = ["mpirun.openmpi", "-n", "2", "--bind-to", "none", f"{rig.report.RELEASE}/tests/ranks/fabric_latency", "--quick"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=rig.report.mpi_environment(), timeout=300).stdout
    return float(re.search(r"^hot round trip.*p50 ([0-9.]+) us", out, re.MULTILINE).group(1)) / 1e6


def across(quick):
    """One replica, asked on its own rank and on the other one."""
    rows = []
    with rig.Trireme([rig.Service()], ranks=2) as trireme:
        own = trireme.rank_of_service("mock")
        ways = {"same rank": trireme.urls["mock"][own], "other rank": trireme.urls["mock"][1 - own]}
        for repetition in range(3 if quick else 15):
            for name, url in ways.items():
                before = rig.cpu_seconds(trireme.pids)
                result = request(url, 1, 0.4 if quick else 2)
                cpu = (rig.cpu_seconds(trireme.pids) - before) / (1 + WARM_UP)
                rows.append({"section": "across", "via": name, "repetition": repetition, "p50_s": result["latency"]["p50"], "p99_s": result["latency"]["p99"],
                             "cpu_s_per_request": cpu / result["requests"]})
    rows.append({"section": "across", "via": "fabric alone", "p50_s": fabric_round_trip()})
    median = statistics.median
    p50 = {name: [row["p50_s"] for row in rows if row["via"] == name] for name in ways}
    extra = median(other - same for same, other in zip(p50["same rank"], p50["other rank"]))
    return rows, [rig.report.goal("p50 across ranks, beyond the same rank", extra, "s", 50e-6, "lower")]
