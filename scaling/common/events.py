"""What programs in scaling/ read from the event log of a run."""

import json
import os
import subprocess

import report


def span(run_dir):
    """When the first attempt began, when the last one ended, and how many ended. Read as they come: a log may be long."""
    first, last, ended = float("inf"), 0.0, 0
    with subprocess.Popen([os.path.join(report.RELEASE, "trireme"), "events", run_dir], stdout=subprocess.PIPE, text=True) as log:
        for line in log.stdout:
            if '"attempt_ended"' in line:
                event = json.loads(line)
                first, last, ended = min(first, event["started"]), max(last, event["ended"]), ended + 1
    if log.returncode != 0:
        raise SystemExit(f"the log of {run_dir} cannot be read")
    return first, last, ended
