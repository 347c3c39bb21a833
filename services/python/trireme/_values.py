"""Python values as the JSON that a run takes and gives."""

from __future__ import annotations

import json
import os
from typing import Any


def _plain(value: Any) -> Any:
    """What the encoder does not know, but that means one thing."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    to_list = getattr(value, "tolist", None)  # NumPy's numbers and arrays, PyTorch's tensors
    if callable(to_list):
        return to_list()
    raise TypeError(f"a {type(value).__name__} cannot be said in JSON")


#: NaN and infinity are no JSON: a ValueError.
encode = json.JSONEncoder(allow_nan=False, default=_plain).encode
