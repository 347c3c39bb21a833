"""What a task wrote whose output is streamed: pieces of its node's one file (docs/spec/output.md)."""

from __future__ import annotations

import glob
import os
from typing import Optional


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_streamed(folder: str, name: str) -> Optional[bytes]:
    """What the attempt of that folder wrote to `stdout` or `stderr`; None where no node streams output."""
    stream, _, rank = name.partition(".")
    task_folder, attempt = os.path.split(os.path.normpath(folder))
    tasks_folder, task = os.path.split(task_folder)
    wanted = [b"out" if stream == "stdout" else b"err", (rank or "0").encode(), attempt.encode(), task.encode()]
    mine = b" " + b" ".join(wanted) + b"\n"
    indexes = glob.glob(os.path.join(glob.escape(os.path.dirname(tasks_folder)), "nodes", "*", "output.index"))
    pieces = []
    for index in indexes:
        with open(index, "rb") as lines, open(index[: -len(".index")], "rb") as data:
            for line in lines:
                if not line.endswith(mine) or int(line[:8], 16) != _crc32c(line[9:-1]):
                    continue
                offset, length = line.split(b" ", 3)[1:3]
                data.seek(int(offset))
                pieces.append(data.read(int(length)))
    return b"".join(pieces) if indexes else None
