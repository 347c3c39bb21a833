"""What every program in scaling/ shares: its options, its JSON, its plot.

The JSON is {"name", "commit", "machine": {...}, "rows": [...], "goals": [...]}; a goal that is not met is reported as not
met, and the program still exits 0.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RELEASE = os.path.join(ROOT, "build", "release")


def arguments(name, description, add=None):
    """The options that all share; `add` is given the parser for more."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under a minute, fewer repetitions")
    parser.add_argument("--out", default=os.path.join(ROOT, "scaling", "results", name + ".json"), help="where the JSON goes; the plot goes beside it")
    if add is not None:
        add(parser)
    return parser.parse_args()


def mpi_environment():
    """Open MPI refuses to run as root and to start more ranks than cores, unless told that it is meant."""
    environment = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1")
    if os.geteuid() == 0:
        environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return environment


def work_folder(prefix):
    """A new folder for the runs of a measurement: in memory, unless TMPDIR says otherwise. A disk takes ten times as long for the
    files of a task at one moment as at the next, and then it is the disk that is measured."""
    memory = "/dev/shm"
    return tempfile.mkdtemp(prefix=prefix, dir=memory if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) else None)


def json_of(command, environment=None):
    """What a program prints as JSON."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=600).stdout)


def machine():
    model = ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    return {"cpu": model, "cores": os.cpu_count(), "memory": memory, "kernel": platform.release()}


def commit():
    result = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def goal(name, value, unit, goal_value, better):
    met = value <= goal_value if better == "lower" else value >= goal_value
    return {"name": name, "value": value, "unit": unit, "goal": goal_value, "better": better, "met": met}


def write(path, name, rows, goals, plot):
    """Writes the JSON to `path` and, next to it, the plot that plot(matplotlib axes) draws."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        json.dump({"name": name, "commit": commit(), "machine": machine(), "rows": rows, "goals": goals}, file, indent=2)
        file.write("\n")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    plot(axes)
    figure.tight_layout()
    figure.savefig(os.path.splitext(path)[0] + ".png", dpi=120)
    for entry in goals:
        word = "met" if entry["met"] else "NOT MET"
        sign = "<=" if entry["better"] == "lower" else ">="
        print(f"{word:8} {entry['name']}: {entry['value']:.4g} {entry['unit']} (goal {sign} {entry['goal']:g})", file=sys.stderr)
