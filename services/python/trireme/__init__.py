"""Grow a Trireme workflow from inside one of its tasks, and ask its services.

    import trireme

    double = trireme.submit(["python3", "double.py", "21"], name="double", cores=2)
    print(double.result().state)

    for ended in trireme.as_completed([trireme.submit(["./simulate", str(seed)]) for seed in range(8)]):
        print(ended.id, ended.result().state)

    answer = trireme.request("llama", "/v1/completions", json={"prompt": "a trireme is"})

A task finds its run through its environment alone (TRIREME_SOCKET, TRIREME_TOKEN). A program that is no task, on a login node say,
names the run directory in TRIREME_RUN_DIR, and has all of this but requests to services. The module needs nothing but Python 3.9.
"""

from ._connection import TriremeError
from ._futures import (
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    ALL_COMPLETED,
    Future,
    TaskFailed,
    TaskResult,
    as_completed,
    cancel,
    map,
    submit,
    submit_many,
    task,
    tasks,
    wait,
)
from ._functions import function
from ._services import request, service, services, start_service, stop_service

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "TaskFailed",
    "TaskResult",
    "TriremeError",
    "as_completed",
    "cancel",
    "function",
    "map",
    "request",
    "service",
    "services",
    "start_service",
    "stop_service",
    "submit",
    "submit_many",
    "task",
    "tasks",
    "wait",
]
