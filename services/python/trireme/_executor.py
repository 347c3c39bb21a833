"""python3 -m trireme._executor SOCKET NUMBER: makes calls of Python functions for the agent of its node.

The frames are those of services/executor/frames.hpp: {u32 length, u8 kind, u64 id} and a body. Calls are made one after the
other; their ends are written in one go when nothing more is there to do, when 64 KiB have gathered, or after a millisecond.
Until then they lie in memory that the agent sees too: whatever this process dies of, the agent knows which call it was. What a
function prints goes to the executor's log.
"""

import faulthandler
import importlib
import json
import mmap
import os
import socket
import struct
import sys
import time
import traceback
from collections import deque

from . import _connection
from ._values import encode

DEFINE, CALL, SKIP = 1, 2, 3
HELLO, DONE, FAILED, SKIPPED = 16, 17, 18, 19
HEADER = struct.Struct("=IBQ")
END = struct.Struct("=IBQqq")
UNSENT = struct.Struct("=Q")
HEADER_REST = HEADER.size - 4
END_REST = END.size - 4
FLUSH_EVERY = 1_000_000  # ns
MOST_RESULT = 1 << 20
MOST_WORDS = 64 << 10


def find(folder, name):
    """The function that "module:name" means, looked for in the folder too."""
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    module, _, path = name.partition(":")
    _connection.importing = module
    try:
        found = importlib.import_module(module)
    finally:
        _connection.importing = None
    for part in path.split("."):
        found = getattr(found, part)
    found = getattr(found, "_target", found)  # what @trireme.function wraps
    if not callable(found):
        raise TypeError(f"{name} is no function")
    return found


def words(error, folder):
    """What went wrong, and where in the files of the function's folder."""
    text = f"{type(error).__name__}: {error}"
    places = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(code, line) for code, line in places if folder and code.co_filename.startswith(os.path.join(folder, ""))]
    if own:
        code, line = own[-1]
        text += f" ({os.path.relpath(code.co_filename, folder)}, line {line}, in {code.co_name})"
    return text.encode(errors="replace")[:MOST_WORDS]


class Ends:
    """Ends of calls that wait to be sent: {u64 length} and frames, in a file that the agent reads should this process die."""

    def __init__(self, connection, path):
        self.connection = connection
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.used = UNSENT.size

    def add(self, frame):
        end = self.used + len(frame)
        if end > len(self.memory):
            self.flush()
            end = self.used + len(frame)
            if end > len(self.memory):
                self.connection.sendall(frame)
                return
        self.memory[self.used : end] = frame
        self.used = end
        UNSENT.pack_into(self.memory, 0, end - UNSENT.size)

    def flush(self):
        if self.used == UNSENT.size:
            return
        self.connection.sendall(self.memory[UNSENT.size : self.used])
        self.used = UNSENT.size
        UNSENT.pack_into(self.memory, 0, 0)


class Executor:
    def __init__(self, connection, number, unsent):
        self.connection = connection
        connection.sendall(HEADER.pack(HEADER_REST, HELLO, number))
        self.ends = Ends(connection, unsent)
        self.process = os.getpid()
        self.buffer = bytearray()
        self.defined = {}
        self.functions = {}
        self.calls = deque()
        self.skipped = set()

    def run(self):
        flushed = time.monotonic_ns()
        while True:
            if not self.calls:
                self.ends.flush()
                if not self.read(0):
                    return
                continue
            self.make(*self.calls.popleft())
            now = time.monotonic_ns()
            if now - flushed < FLUSH_EVERY:
                continue
            flushed = now
            self.ends.flush()
            if not self.read(socket.MSG_DONTWAIT):
                return

    def read(self, flags):
        try:
            data = self.connection.recv(256 << 10, flags)
        except BlockingIOError:
            return True
        if not data:
            return False
        buffer = self.buffer
        buffer += data
        at = 0
        view = bytes(buffer)
        while len(view) - at >= HEADER.size:
            length, kind, id = HEADER.unpack_from(view, at)
            end = at + 4 + length
            if len(view) < end:
                break
            self.take(kind, id, view, at + HEADER.size, end)
            at = end
        del buffer[:at]
        return True

    def take(self, kind, id, view, start, end):
        if kind == CALL:
            self.calls.append((id, int.from_bytes(view[start : start + 4], sys.byteorder), view[start + 4 : end]))
        elif kind == DEFINE:
            length = int.from_bytes(view[start : start + 4], sys.byteorder)
            folder = view[start + 4 : start + 4 + length].decode()
            # Found at its first call: an import takes time, and may do anything.
            self.defined[id] = (folder, view[start + 4 + length : end].decode())
        elif kind == SKIP:
            self.skipped.add(id)

    def make(self, id, function, args):
        if id in self.skipped:
            self.skipped.discard(id)
            self.ends.add(HEADER.pack(HEADER_REST, SKIPPED, id))
            return
        begun = time.time_ns()
        try:
            given = json.loads(args)
            target = self.functions.get(function)
            if target is None:
                target = self.functions[function] = find(*self.defined[function])
            if type(given) is list:
                value = target(*given)
            elif type(given) is dict:
                if given.keys() <= {"args", "kwargs"} and given:
                    value = target(*given.get("args", ()), **given.get("kwargs", {}))
                else:
                    value = target(**given)
            else:
                value = target(given)
            if os.getpid() != self.process:
                self.leave(0)
            kind, result = DONE, b"null" if value is None else self.say(value)
        except BaseException as error:  # SystemExit too: it ends the call, not the executor
            if os.getpid() != self.process:
                self.leave(error)
            traceback.print_exc()
            kind, result = FAILED, words(error, self.defined[function][0])
        self.ends.add(END.pack(END_REST + len(result), kind, id, begun, time.time_ns()) + result)

    @staticmethod
    def say(value):
        try:
            result = encode(value).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the result is no JSON: {error}") from error
        if len(result) > MOST_RESULT:
            raise ValueError(f"the result of {len(result)} bytes is longer than 1 MiB: return the name of a file instead")
        return result

    @staticmethod
    def leave(how):
        """The function has forked, and this child has come back from it: it makes no more calls."""
        if isinstance(how, SystemExit):
            code = how.code if isinstance(how.code, int) else 0 if how.code is None else 1
        elif isinstance(how, BaseException):
            traceback.print_exception(type(how), how, how.__traceback__)
            code = 1
        else:
            code = how
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: python3 -m trireme._executor SOCKET NUMBER\nIt is started by Trireme, for function tasks.")
    path, number = sys.argv[1], int(sys.argv[2])
    faulthandler.enable()
    sys.stdout.reconfigure(line_buffering=True)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    try:
        Executor(connection, number, f"{path}.{number}").run()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the agent is gone, and what this did with it
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
