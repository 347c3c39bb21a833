"""Calls through the request folder of a run directory, from hosts that reach no proxy of the run: a login node, say.

A call is a file RUN/requests/NAME.json, put there whole by a rename; the run looks for them about twice a second, and puts its answer
into RUN/requests/answers/NAME.json in the same way. A parallel file system tells nobody of a new file, so it is looked for.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from typing import Optional, Tuple

_LOOK_EVERY = 0.1
_count = itertools.count()


class FolderError(Exception):
    pass


def _over(run_dir: str) -> bool:
    """Whether the run's pilot was a process of this host that is gone."""
    try:
        with open(os.path.join(run_dir, "run.json"), encoding="utf-8") as file:
            claim = json.load(file)
    except (OSError, ValueError) as error:
        raise FolderError(f"{run_dir} is no run directory: {error}") from error
    try:
        if claim["host"] != socket.gethostname() or claim["pid_namespace"] != os.readlink("/proc/self/ns/pid"):
            return False
        with open(f"/proc/{claim['pid']}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19]) != claim["pid_start"]
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (OSError, KeyError, ValueError, IndexError):
        return False


def exchange(run_dir: str, method: str, target: str, body: Optional[bytes], timeout: float) -> Tuple[int, bytes]:
    """The status and the body of what the run answers."""
    if _over(run_dir):
        raise FolderError(f"the run in {run_dir} is not on any more")
    requests = os.path.join(run_dir, "requests")
    name = f"{time.time_ns()}-{socket.gethostname()}-{os.getpid()}-py{next(_count)}"
    answer = os.path.join(requests, "answers", name + ".json")
    request = os.path.join(requests, name + ".json")
    call = {"request": "call", "method": method, "target": target, "body": (body or b"").decode(), "answer": name,
            "expires": time.time_ns() + int(timeout * 1e9)}
    temporary = os.path.join(requests, "." + name)
    try:
        os.makedirs(requests, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(call, file)
            os.rename(temporary, request)
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise FolderError(f"a request cannot be left in {requests}: {error}") from error
    end = time.monotonic() + timeout
    while not os.path.exists(answer):
        if time.monotonic() >= end:
            try:
                os.unlink(request)
            except FileNotFoundError:
                raise FolderError(f"the run in {run_dir} took the request and has not answered within {timeout:g} s") from None
            raise FolderError(f"the run in {run_dir} has not taken the request within {timeout:g} s, and nothing was done: is it still on?")
        time.sleep(_LOOK_EVERY)
    with open(answer, encoding="utf-8") as file:
        answered = json.load(file)
    os.unlink(answer)
    return answered["status"], answered["body"].encode()
