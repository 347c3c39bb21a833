"""How a run is asked: HTTP over the unix socket of this node's proxy, or the request folder of its run directory."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from typing import Any, Optional, Tuple

from . import _folder
from ._values import encode


class TriremeError(Exception):
    """Something that was asked of the run could not be done; the text says what and why.

    `status` is the HTTP status of the answer, or 0 where there was none. `errors` are the single mistakes of a submission.
    """

    def __init__(self, text: str, status: int = 0, errors: Optional[list] = None):
        super().__init__(text)
        self.status = status
        self.errors = errors or []


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: Optional[float]):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


_local = threading.local()

#: The module that an executor is importing for a function of it.
importing: Optional[str] = None


def exchange(method: str, target: str, body: Optional[bytes] = None, headers: Optional[dict] = None,
             timeout: Optional[float] = None) -> Tuple[int, dict, bytes]:
    """One request: status, headers (names in lower case) and body of its answer. Connections are kept, one for each thread.

    A request is sent again only where it provably had not been delivered: the kept connection was closed before it.
    """
    path = os.environ.get("TRIREME_SOCKET", "")
    if not path:
        raise TriremeError("TRIREME_SOCKET is not set: this is no task of a Trireme run. From outside, tasks are submitted through the run "
                           "directory, named in TRIREME_RUN_DIR; services cannot be asked")
    every = {"Authorization": "Bearer " + os.environ.get("TRIREME_TOKEN", ""), **(headers or {})}
    for fresh in (False, True):
        connection = None if fresh else getattr(_local, "connection", None)
        if connection is None or connection.pid != os.getpid():
            connection = _UnixConnection(path, timeout)
            connection.pid = os.getpid()  # a connection is not shared with forked children
            fresh = True
        _local.connection = None
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.timeout = timeout
            try:
                connection.request(method, target, body=body, headers=every)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a refusal may have come before all was sent: that it is too long, say
            answer = connection.getresponse()
            data = answer.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            connection.close()
            if not fresh:
                continue
            raise TriremeError(f"the proxy of this node closed the connection: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise TriremeError(f"the proxy of this node cannot be asked: {error}") from error
        if answer.will_close:
            connection.close()
        else:
            _local.connection = connection
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data
    raise AssertionError("unreachable")


def _once(method: str, target: str, data: Optional[bytes], timeout: float) -> Tuple[int, dict, bytes]:
    run_dir = os.environ.get("TRIREME_RUN_DIR", "")
    # As with the commands: the folder for a task that does not see the socket (in a container), and outside of tasks.
    if run_dir and not os.path.exists(os.environ.get("TRIREME_SOCKET", "")):
        try:
            status, answer = _folder.exchange(run_dir, method, target, data, timeout)
        except _folder.FolderError as error:
            raise TriremeError(str(error)) from error
        return status, {}, answer
    return exchange(method, target, data, {} if data is None else {"Content-Type": "application/json"}, timeout)


def ask(method: str, target: str, body: Any = None, timeout: float = 60) -> Any:
    """What /runtime answers, as Python values; an answer with an error status is a TriremeError."""
    if importing is not None:
        raise TriremeError(f"an executor imports the module {importing} for a function of it, and the module asks the run for something "
                           'at that: put what only the program itself is to do under if __name__ == "__main__":')
    data = None if body is None else encode(body).encode()
    end = time.monotonic() + timeout
    status, answered, answer = _once(method, target, data, timeout)
    while status == 429 and time.monotonic() < end:  # it was not taken: too much is being asked of the run by this node
        time.sleep(min(float(answered.get("retry-after", 1)), max(0.0, end - time.monotonic())))
        status, answered, answer = _once(method, target, data, timeout)
    try:
        value = json.loads(answer)
    except ValueError:
        raise TriremeError(f"the run answered with status {status} and no JSON", status) from None
    if 200 <= status < 300:
        return value
    errors = value.get("errors", [])
    text = "\n".join(error["text"] for error in errors) or value.get("error", {}).get("message", f"status {status}")
    raise TriremeError(text, status, errors)
