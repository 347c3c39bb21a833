"""Tasks as futures, in the manner of concurrent.futures."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Union
from urllib.parse import quote, urlencode

from ._connection import TriremeError, ask
from ._output import read_streamed

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

_SLICE = 30.0  # seconds of one wait as the run sees it
_SLACK = 30.0  # for its answer
_MOST_TOLD = 10_000  # tasks in one answer
_MOST_IDS = 100_000  # that one wait names
_SWEPT = 1000  # results that map() learns at once


@dataclass(frozen=True)
class TaskResult:
    """How a task ended."""

    id: str
    state: str  #: done, failed, cancelled or skipped
    exit_code: Optional[int]  #: of its last attempt; None where it made none
    attempts: int
    reason: str  #: in words, where it is not done
    folder: str  #: of its last attempt; see read()
    value: Any = None  #: what a function returned

    @property
    def ok(self) -> bool:
        return self.state == "done"

    def read(self, name: str = "stdout") -> str:
        """A file in the folder of its last attempt; `stdout` and `stderr` also where they are streamed."""
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            streamed = read_streamed(self.folder, name) if name.split(".")[0] in ("stdout", "stderr") else None
            if streamed is None:
                raise
            return streamed.decode(errors="replace")


class TaskFailed(TriremeError):
    """A task that was waited for did not end well; `result` says how."""

    def __init__(self, result: TaskResult):
        super().__init__(f"task {result.id} {result.state}: {result.reason or 'no reason was told'}")
        self.result = result


def _result_of(record: Dict[str, Any]) -> TaskResult:
    return TaskResult(
        id=record["id"], state=record["state"], exit_code=record.get("exit_code"), attempts=record.get("attempts", 0),
        reason=record.get("reason", ""), folder=record.get("folder", ""), value=record.get("result"),
    )


class Future:
    """A task that was submitted, known by its id."""

    def __init__(self, id: str, is_function: bool = False):
        self.id = id
        self._is_function = is_function
        self._result: Optional[TaskResult] = None
        self._has_value = False

    def __repr__(self) -> str:
        return f"<trireme.Future {self.id!r} {self._result.state if self._result else 'not known to have ended'}>"

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Future) and other.id == self.id

    def _fetch(self) -> Dict[str, Any]:
        record = ask("GET", "/runtime/tasks/" + quote(self.id, safe=""))
        if record["final"]:
            self._learn(record)
        return record

    def _learn(self, record: Dict[str, Any]) -> None:
        self._has_value = "result" in record
        self._result = _result_of(record)

    def state(self) -> str:
        """waiting, ready, running, done, failed, cancelled or skipped, as it is now."""
        return self._result.state if self._result else self._fetch()["state"]

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._result is not None or self._fetch()["final"]

    def running(self) -> bool:
        return self.state() == "running"

    def cancelled(self) -> bool:
        return self.state() == "cancelled"

    def cancel(self) -> bool:
        """Asks for its end: what has not started never will. False if it had ended before."""
        if self._result is not None:
            return False
        record = ask("DELETE", "/runtime/tasks/" + quote(self.id, safe=""))
        return not record["final"] or record["state"] == "cancelled"

    def wait(self, timeout: Optional[float] = None) -> TaskResult:
        """Waits for its end; a TimeoutError when that takes longer."""
        _wait([self], False, timeout)
        if self._result is None:
            raise TimeoutError(f"task {self.id} has not ended within {timeout} s")
        return self._result

    def result(self, timeout: Optional[float] = None) -> Any:
        """Waits for it and gives its TaskResult, or what the function returned. TaskFailed where it did not end well."""
        result = self.wait(timeout)
        if not result.ok:
            raise TaskFailed(result)
        if self._is_function and not self._has_value:
            raise TriremeError(f"what task {self.id} returned is not kept by the run, which holds 1 GiB of results: "
                               "trireme explain tells it; pass large data in files")
        return result.value if self._is_function else result

    def exception(self, timeout: Optional[float] = None) -> Optional[TaskFailed]:
        """Waits for it; None if it ended well."""
        result = self.wait(timeout)
        return None if result.ok else TaskFailed(result)


def _json_of(value: Any) -> Any:
    """Futures in arguments stand for the results of their tasks."""
    if isinstance(value, Future):
        return {"result": value.id}
    if isinstance(value, dict):
        return {key: _json_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_of(item) for item in value]
    return value


def _program(word: str) -> str:
    """In a workflow file such a program is found from the file's folder; here it is meant from where one is."""
    return os.path.abspath(word) if "/" in word and os.path.exists(word) else word


def _command(command: Union[Sequence[Any], str]) -> Union[List[str], str]:
    """A brace means itself here, and no placeholder of a workflow file. The run splits a text, and says what only a shell would do."""
    if isinstance(command, str):
        words = shlex.split(command)
        text = command.lstrip()
        if words and text.startswith(words[0]) and _program(words[0]) != words[0]:
            text = shlex.quote(_program(words[0])) + text[len(words[0]) :]
        return text.replace("{", "{{")
    words = [os.fspath(word) if isinstance(word, os.PathLike) else str(word) for word in command]
    if any("\0" in word for word in words):
        raise ValueError(f"a word of the command has a zero byte in it, which no program can be given: {words}")
    return [word.replace("{", "{{") for word in [_program(word) for word in words[:1]] + words[1:]]


def _description(command: Union[Sequence[Any], str, None], keys: Dict[str, Any]) -> Dict[str, Any]:
    out = {key: value for key, value in keys.items() if value is not None}
    if command is not None:
        out["command"] = _command(command)
    for key in ("after", "services"):
        if key in out:
            items = [out[key]] if isinstance(out[key], (str, Future)) else out[key]
            out[key] = [item.id if isinstance(item, Future) else str(item) for item in items]
    if "env" in out:
        out["env"] = {name: str(value) for name, value in out["env"].items()}
    if "args" in out:
        out["args"] = _json_of(out["args"])
    return out


def submit(command: Union[Sequence[Any], str, None] = None, **keys: Any) -> Future:
    """Gives the run one task, which starts as soon as what it needs is there.

    `command` is a list of words, or a text that is split as a shell would; what only a shell can do is a `script`. The other keys are those of a task in a workflow
    file: script, name, id, cores, gpus, memory, ranks, mpi, after, services, env, inputs, outputs, timeout, retries, priority.
    `after` takes ids, names and futures. A task with a `name` or `id` that was submitted before in the same words is that task.
    """
    if "foreach" in keys:
        raise TypeError("submit() is for one task: a foreach goes to submit_many(), which gives a future for each of its instances")
    return submit_many([_description(command, keys)])[0]


def submit_many(tasks: Iterable[Dict[str, Any]]) -> List[Future]:
    """Gives the run several tasks at once: dictionaries with the keys of a workflow file. All are taken or none.

    The futures are in the order of the tasks; a task with a `foreach` has one for each of its instances.
    """
    descriptions = [_description(None, dict(task)) for task in tasks]
    if not descriptions:
        return []
    functions = ["function" in task for task in descriptions]
    many = any("foreach" in task for task in descriptions)
    if many and len(set(functions)) > 1:
        raise ValueError("with a foreach, functions and commands are submitted apart")
    ids = ask("POST", "/runtime/tasks", {"tasks": descriptions})["ids"]
    return [Future(id, functions[0] if many else functions[i]) for i, id in enumerate(ids)]


def _submit_all(tasks: List[Dict[str, Any]]) -> List[Future]:
    """In as many submissions as their size asks for."""
    try:
        return submit_many(tasks)
    except TriremeError as error:
        if error.status != 413 or len(tasks) < 2:
            raise
    half = len(tasks) // 2
    return _submit_all(tasks[:half]) + _submit_all(tasks[half:])


def map(command: Callable[..., Any], *iterables: Iterable[Any], timeout: Optional[float] = None,
        chunk: int = 1000, **keys: Any) -> Iterator[Any]:
    """Submits a task for each set of arguments, at once, and gives their results in that order, as concurrent.futures' map.

    `command` is a function() of this module, or any callable that gives the command for one set of arguments:
    ``trireme.map(lambda seed: ["./simulate", "--seed", str(seed)], range(100), cores=4)``. With ``name="simulate"`` the tasks are
    simulate[0], simulate[1], …: submitted again, they are those that are there.
    """
    end = None if timeout is None else time.monotonic() + timeout
    futures: List[Future] = []
    described: List[Dict[str, Any]] = []
    describe = getattr(command, "_describe", None)
    for number, arguments in enumerate(zip(*iterables)):
        task = describe(arguments, {}, keys) if describe else _description(command(*arguments), keys)
        if "name" in task:
            task.setdefault("id", f"{task['name']}[{number}]")
        described.append(task)
        if len(described) == chunk:
            futures += _submit_all(described)
            described = []
    futures += _submit_all(described)
    return _in_order(futures, end)


def _in_order(futures: List[Future], end: Optional[float]) -> Iterator[Any]:
    for i, future in enumerate(futures):
        if future._result is None:
            _wait([future], False, None if end is None else max(0.0, end - time.monotonic()))
            _wait(futures[i : i + _SWEPT], False, 0)  # which others have ended by now
        yield future.result(None if end is None else max(0.0, end - time.monotonic()))


def _wait(futures: Sequence[Future], any_one: bool, timeout: Optional[float]) -> None:
    """Until all (or one) of the futures know their results, or the time is over."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        pending = [future for future in futures if future._result is None]
        if not pending or (any_one and len(pending) < len(futures)):
            return
        left = _SLICE if end is None else min(_SLICE, max(0.0, end - time.monotonic()))
        by_id = {future.id: future for future in pending[: _MOST_IDS if any_one else _MOST_TOLD]}
        answer = ask("POST", "/runtime/wait", {"ids": list(by_id), "for": "any" if any_one else "all", "timeout": left}, left + _SLACK)
        for record in answer["tasks"]:
            by_id[record["id"]]._learn(record)
        if end is not None and not answer["complete"] and time.monotonic() >= end:
            return


class DoneAndNotDone(NamedTuple):
    """The futures whose tasks have ended, and the others."""

    done: Set[Future]
    not_done: Set[Future]


def wait(futures: Iterable[Future], timeout: Optional[float] = None, return_when: str = ALL_COMPLETED) -> DoneAndNotDone:
    """Waits for all of them, for the first that ends, or for the first that does not end well."""
    every = list(futures)
    if return_when == FIRST_EXCEPTION:
        try:
            next((future for future in as_completed(every, timeout) if not future.wait().ok), None)
        except TimeoutError:
            pass
    elif return_when in (FIRST_COMPLETED, ALL_COMPLETED):
        _wait(every, return_when == FIRST_COMPLETED, timeout)
    else:
        raise ValueError(f"return_when is FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED, and not {return_when!r}")
    done = {future for future in every if future._result is not None}
    return DoneAndNotDone(done, set(every) - done)


def as_completed(futures: Iterable[Future], timeout: Optional[float] = None) -> Iterator[Future]:
    """Gives each future when its task has ended. More futures may be submitted while it goes on, for another call."""
    pending = list(dict.fromkeys(futures))
    end = None if timeout is None else time.monotonic() + timeout
    while pending:
        _wait(pending, True, None if end is None else max(0.0, end - time.monotonic()))
        ended = [future for future in pending if future._result is not None]
        if not ended:
            raise TimeoutError(f"{len(pending)} tasks have not ended within {timeout} s")
        pending = [future for future in pending if future._result is None]
        yield from ended


def cancel(futures: Iterable[Future]) -> None:
    """Cancels all of them."""
    for future in futures:
        future.cancel()


def task(id: str) -> Future:
    """The task of that id, submitted by whoever; a TriremeError if there is none."""
    future = Future(id)
    future._fetch()
    return future


def tasks(state: Optional[str] = None, name: Optional[str] = None) -> Iterator[Dict[str, Any]]:
    """What the run knows of its tasks, one dictionary each."""
    start: Optional[int] = 0
    while start is not None:
        query = {"from": start, **({"state": state} if state else {}), **({"name": name} if name else {})}
        page = ask("GET", "/runtime/tasks?" + urlencode(query))
        yield from page["tasks"]
        start = page["next"]
