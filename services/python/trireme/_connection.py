"""HTTP over the unix socket of this node's proxy."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from typing import Any, Optional, Tuple


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


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise TriremeError(f"{name} is not set: this is no task of a Trireme run")
    return value


def exchange(method: str, target: str, body: Optional[bytes] = None, headers: Optional[dict] = None,
             timeout: Optional[float] = None) -> Tuple[int, dict, bytes]:
    """One request: status, headers (names in lower case) and body of its answer. Connections are kept, one for each thread.

    A request is sent again only where it provably had not been delivered: the kept connection was closed before it.
    """
    path = _variable("TRIREME_SOCKET")
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
            connection.request(method, target, body=body, headers=every)
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


def ask(method: str, target: str, body: Any = None, timeout: Optional[float] = 60) -> Any:
    """What /runtime answers, as Python values; an answer with an error status is a TriremeError."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if data is None else {"Content-Type": "application/json"}
    status, _, answer = exchange(method, target, data, headers, timeout)
    try:
        value = json.loads(answer)
    except ValueError:
        raise TriremeError(f"the run answered with status {status} and no JSON", status) from None
    if 200 <= status < 300:
        return value
    errors = value.get("errors", [])
    text = "\n".join(error["text"] for error in errors) or value.get("error", {}).get("message", f"status {status}")
    raise TriremeError(text, status, errors)
