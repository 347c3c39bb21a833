"""The services of the run."""

from __future__ import annotations

import json as _json
from typing import Any, Dict, List, Optional, Union
from urllib.parse import quote

from ._connection import TriremeError, ask, exchange
from ._values import encode


def services() -> List[Dict[str, Any]]:
    """All of them, with their replicas."""
    return ask("GET", "/runtime/services")["services"]


def service(name: str) -> Dict[str, Any]:
    """One of them; a TriremeError if there is none."""
    return ask("GET", "/runtime/services/" + quote(name, safe=""))


def start_service(name: str, **keys: Any) -> None:
    """Starts a service with the keys of a workflow file (command, replicas, cores, gpus, ready, …) and returns at once.

    Tasks that name it, and requests, wait until it is ready.
    """
    ask("POST", "/runtime/services", {"services": {name: keys}})


def stop_service(name: str) -> None:
    """Ends a service: its replicas answer what they have begun, and tasks that need it and have not started are skipped."""
    ask("DELETE", "/runtime/services/" + quote(name, safe=""))


def request(service: str, path: str, json: Any = None, data: Optional[bytes] = None, method: Optional[str] = None,
            headers: Optional[Dict[str, str]] = None, timeout: float = 600) -> Union[Any, bytes]:
    """One HTTP request to a service, through the proxy of this node, to the replica that it chooses.

    The answer's JSON as Python values, or its bytes where it is none. A TriremeError for an answer with an error status.
    """
    body = data if json is None else encode(json).encode()
    every = dict(headers or {})
    if json is not None:
        every.setdefault("Content-Type", "application/json")
    target = "/services/" + quote(service, safe="") + ("" if path.startswith("/") else "/") + path
    status, answered, answer = exchange(method or ("GET" if body is None else "POST"), target, body, every, timeout)
    if status >= 400:
        raise TriremeError(f"service {service} answered with status {status}: {answer[:2000].decode(errors='replace')}", status)
    if "json" in answered.get("content-type", ""):
        return _json.loads(answer)
    return answer
