"""Functions as tasks: called in warm executor processes of the run instead of processes of their own."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, Callable, Dict, Sequence

from ._futures import Future, _description, submit_many


def _place(target: Callable[..., Any]) -> Dict[str, str]:
    """Where an executor finds the function: its module's name, and the folder to find that in."""
    if "<locals>" in target.__qualname__ or target.__name__ == "<lambda>":
        raise ValueError(f"{target.__qualname__} can only be found inside of another function: move it to the module")
    module = sys.modules[target.__module__]
    file = inspect.getsourcefile(target)
    if file is None:
        raise ValueError(f"{target.__qualname__} has no source file that an executor could import")
    spec = getattr(module, "__spec__", None)
    if target.__module__ == "__main__" and spec is None:  # python3 FILE
        name, suffix = os.path.splitext(os.path.basename(file))
        if suffix != ".py" or "." in name:
            raise ValueError(f"{target.__qualname__} is in {file}, which an executor cannot import: it needs a name that ends with .py "
                             "and has no other dot")
        depth = 0
    elif target.__module__ == "__main__":  # python3 -m MODULE
        name = spec.name
        depth = name.count(".")
    else:
        name = target.__module__
        depth = name.count(".") + (1 if hasattr(module, "__path__") else 0)
    folder = os.path.dirname(os.path.abspath(file))
    for _ in range(depth):
        folder = os.path.dirname(folder)
    return {"python": f"{name}:{target.__qualname__}", "path": folder}


class RemoteFunction:
    """A function whose calls are tasks; calling it as such calls it here."""

    def __init__(self, target: Callable[..., Any], keys: Dict[str, Any]):
        self._target = target
        self._keys = keys
        self.__doc__ = target.__doc__
        self.__name__ = target.__name__
        self.__qualname__ = target.__qualname__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._target(*args, **kwargs)

    def _describe(self, args: Sequence[Any], kwargs: Dict[str, Any], keys: Dict[str, Any]) -> Dict[str, Any]:
        given = {"args": list(args), "kwargs": kwargs} if kwargs else list(args)
        return _description(None, {**self._keys, **keys, "function": _place(self._target), "args": given})

    def submit(self, *args: Any, **kwargs: Any) -> Future:
        """A task that calls it. Arguments and result are JSON; a future among them stands for the result of its task."""
        return submit_many([self._describe(args, kwargs, {})])[0]


def function(target: Any = None, **keys: Any) -> Any:
    """Makes a function of a module one whose calls can be tasks: ``@trireme.function`` or ``@trireme.function(retries=2)``.

    The keys are those of a function task in a workflow file: cores, after, services, environment, timeout, retries, priority.
    """
    if target is None:
        return lambda inner: RemoteFunction(inner, keys)
    return RemoteFunction(target, keys)
