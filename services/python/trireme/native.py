"""Both ends of Trireme's native protocol, for those who count microseconds.

A client, in a task:

    from trireme.native import Client

    with Client() as client:
        print(client.request("noop", b"hello").body)
        answers = [client.submit("noop", bytes([i])) for i in range(100)]      # all under way at once
        print([answer.result().body for answer in answers])

A service (`api: native`, `command: [python3, "{workflow_dir}/service.py", "{socket}"]`):

    from trireme.native import Service

    class Double(Service):
        def handle(self, request):
            return request.body * 2

    Double().serve(sys.argv[1])

With `max_batch` above 1 a service defines handle_batch(requests) instead, which returns as many answers. The module needs
nothing but Python 3.9. How frames look is in docs/spec/native.md.
"""

from __future__ import annotations

import collections
import errno
import os
import re
import select
import socket
import struct
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

from ._connection import TriremeError

__all__ = ["Client", "Pending", "Request", "Response", "Service"]

_PREFACE = b"\0TRIREME"
_VERSION = 1
_HEADER = struct.Struct("<IBBHQ")
_MAX_PAYLOAD = 256 << 10
_WINDOW = 256 << 10
_UNKNOWN = (1 << 64) - 1
_MAX_BODY = 1 << 30
_MAX_REQUESTS = 1024
_ACCEPT_BACKOFF = 0.1
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,255}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]{0,65535}")
_TARGET = re.compile(rb"/[\x21-\x7e]{0,65534}")
_FRAMING = frozenset(("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
                      "transfer-encoding", "upgrade"))
_HELLO, _WELCOME, _REQUEST, _RESPONSE, _DATA, _WINDOW_FRAME, _CANCEL, _FAILURE = range(1, 9)


def _frame(kind: int, end: bool, number: int, payload: bytes = b"") -> bytes:
    return _HEADER.pack(len(payload), kind, end, 0, number) + payload


def _headers(headers: Optional[Dict[str, str]]) -> bytes:
    """As they stand in a head. What is none there, and would end the connection, is a ValueError."""
    if not headers:
        return b"\0\0"
    parts = [struct.pack("<H", len(headers))]
    for name, value in headers.items():
        raw_name, raw_value = name.encode("latin-1"), value.encode("latin-1")
        if not _TOKEN.fullmatch(raw_name) or not _VALUE.fullmatch(raw_value) or name.lower() in _FRAMING:
            raise ValueError(f"{name!r} is no header of the native protocol, or not with this value")
        parts.append(struct.pack("<B", len(raw_name)) + raw_name + struct.pack("<H", len(raw_value)) + raw_value)
    return b"".join(parts)


def _read_headers(payload: memoryview, at: int) -> tuple:
    (count,) = struct.unpack_from("<H", payload, at)
    at += 2
    headers = {}
    for _ in range(count):
        size = payload[at]
        name = bytes(payload[at + 1:at + 1 + size]).decode("latin-1").lower()
        at += 1 + size
        (size,) = struct.unpack_from("<H", payload, at)
        headers[name] = bytes(payload[at + 2:at + 2 + size]).decode("latin-1")
        at += 2 + size
    if at > len(payload):
        raise TriremeError("a head of the native protocol is cut short")
    return headers, at


class Response:
    """An answer: `status` as HTTP's, `headers` with names in lower case, `body`."""

    __slots__ = ("status", "headers", "body")

    def __init__(self, body: Union[bytes, bytearray] = b"", status: int = 200, headers: Optional[Dict[str, str]] = None):
        self.status = status
        self.headers = headers or {}
        self.body = body


def _encoded(response: Any) -> Tuple[bytes, memoryview]:
    """The head of an answer, and its body."""
    if not isinstance(response, Response):
        response = Response(b"" if response is None else response)
    if not 200 <= response.status <= 599:
        raise ValueError(f"{response.status} is no status of an answer")
    body = memoryview(response.body).cast("B")
    head = struct.pack("<QH", len(body), response.status) + _headers(response.headers)
    if len(head) > _MAX_PAYLOAD // 2:
        raise ValueError("the head of the answer is too long")
    return head, body


class Request:
    """A request as a service sees it. `cancelled` becomes true when nobody wants its answer any more."""

    __slots__ = ("number", "method", "target", "headers", "body", "cancelled", "_connection", "_untold", "_came")

    def __init__(self, number: int, method: str, target: str, headers: Dict[str, str], body: bytearray):
        self.number = number
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.cancelled = False
        self._untold = 0
        self._came = time.monotonic()


class _Frames:
    """Cuts received bytes into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterable[tuple]:
        self._held += data
        at, size = 0, len(self._held)
        held = bytes(self._held) if size < 4096 else memoryview(self._held)
        found = []
        while size - at >= _HEADER.size:
            length, kind, flags, zero, number = _HEADER.unpack_from(held, at)
            if length > _MAX_PAYLOAD or not 1 <= kind <= 8 or flags > 1 or zero != 0:
                raise TriremeError("what came is not the native protocol")
            if size - at - _HEADER.size < length:
                break
            start = at + _HEADER.size
            found.append((kind, flags, number, bytes(held[start:start + length])))
            at = start + length
        if isinstance(held, memoryview):
            held.release()
        del self._held[:at]
        return found


def _end(timeout: Optional[float]) -> Optional[float]:
    return None if timeout is None else time.monotonic() + timeout


class Pending:
    """A request under way. result() waits for its answer; cancel() gives it up."""

    def __init__(self, client: "Client", number: int):
        self._client = client
        self._number = number
        self._response: Optional[Response] = None
        self._error: Optional[TriremeError] = None
        self._done = False
        self._credit = 0
        self._untold = 0

    def done(self) -> bool:
        """Whether result() would return, or raise, at once."""
        if not self._done:
            self._client._turn(0)
        return self._done or self._client._failure is not None

    def result(self, timeout: Optional[float] = None) -> Response:
        """The answer, whatever its status; TriremeError where it broke off, TimeoutError where it did not come in time."""
        return self._result(_end(timeout))

    def _result(self, end: Optional[float]) -> Response:
        self._client._until(lambda: self._done, end)
        if self._error is not None:
            raise self._error
        assert self._response is not None
        return self._response

    def cancel(self) -> None:
        self._client._cancel(self)


class Client:
    """A connection to this node's proxy (TRIREME_SOCKET), for one thread at a time: threads, and forked processes, have a
    Client each. It does not outlive the connection: after that it raises TriremeError."""

    def __init__(self, path: Optional[str] = None, token: Optional[str] = None):
        path = path or os.environ.get("TRIREME_SOCKET", "")
        if not path:
            raise TriremeError("TRIREME_SOCKET is not set: this is no task of a Trireme run")
        token = os.environ.get("TRIREME_TOKEN", "") if token is None else token
        self._frames = _Frames()
        self._out = bytearray()
        self._pending: Dict[int, Pending] = {}
        self._next = 1
        self._limit = 0
        self._welcome = False
        self._failure: Optional[TriremeError] = None
        self._process = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._socket.setblocking(False)
        raw = token.encode()
        end = _end(30)
        self._send(_PREFACE + _frame(_HELLO, False, 0, struct.pack("<HH", _VERSION, len(raw)) + raw), end)
        self._until(lambda: self._welcome, end)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *unused: Any) -> None:
        self.close()

    def close(self) -> None:
        self._fail(TriremeError("the connection was closed"))

    def request(self, service: str, body: bytes = b"", path: str = "/", method: str = "POST",
                headers: Optional[Dict[str, str]] = None, timeout: Optional[float] = None) -> Response:
        """One request and its answer; TimeoutError where that did not come in time."""
        end = _end(timeout)
        pending = self._submit(service, body, path, method, headers, end)
        try:
            return pending._result(end)
        except TimeoutError:
            pending.cancel()
            raise

    def submit(self, service: str, body: bytes = b"", path: str = "/", method: str = "POST",
               headers: Optional[Dict[str, str]] = None, timeout: Optional[float] = None) -> Pending:
        """Sends a request and does not wait for its answer. A large body is sent as fast as the service takes it; TimeoutError
        where it is not taken in time. What is no request is a ValueError."""
        return self._submit(service, body, path, method, headers, _end(timeout))

    def _submit(self, service: str, body: bytes, path: str, method: str, headers: Optional[Dict[str, str]],
                end: Optional[float]) -> Pending:
        target = f"/services/{service}{path if path.startswith('/') else '/' + path}".encode("latin-1")
        raw_method = method.encode("latin-1")
        if not _TOKEN.fullmatch(raw_method) or not _TARGET.fullmatch(target):
            raise ValueError(f"{method!r} of {path!r} of {service!r} is no request")
        body = memoryview(body).cast("B")
        first = body if len(body) <= _WINDOW // 2 else b""
        payload = b"".join((struct.pack("<QB", len(body), len(raw_method)), raw_method, struct.pack("<H", len(target)), target,
                            _headers(headers), first))
        if len(payload) > _MAX_PAYLOAD:
            raise ValueError("the head of the request is too long")
        self._until(lambda: len(self._pending) < self._limit, end)
        number = self._next
        pending = Pending(self, number)
        pending._credit = _WINDOW - len(first)
        self._send(_frame(_REQUEST, len(first) == len(body), number, payload), end)
        self._next += 1
        self._pending[number] = pending
        at = len(first)
        try:
            while at < len(body) and not pending._done:
                self._until(lambda: pending._credit > 0 or pending._done, end)
                part = body[at:at + min(pending._credit, _MAX_PAYLOAD)]
                if not len(part) or pending._done:
                    break
                self._send(_frame(_DATA, at + len(part) == len(body), number, part.tobytes()), end)
                pending._credit -= len(part)
                at += len(part)
        except TimeoutError:
            pending.cancel()
            raise
        return pending

    def _cancel(self, pending: Pending) -> None:
        if pending._done:
            return
        self._end(pending, TriremeError("the request was cancelled"))
        self._out += _frame(_CANCEL, True, pending._number)
        self._flush()

    def _end(self, pending: Pending, error: Optional[TriremeError] = None) -> None:
        pending._error = error
        pending._done = True
        self._pending.pop(pending._number, None)

    def _fail(self, error: TriremeError) -> None:
        if self._failure is None:
            self._failure = error
            self._socket.close()
        for pending in list(self._pending.values()):
            self._end(pending, self._failure)

    def _send(self, data: bytes, end: Optional[float]) -> None:
        """Sends; while the proxy does not take what was sent before, reads what it has to say, so neither waits for the other."""
        self._until(lambda: len(self._out) <= 4 * _WINDOW, end)
        if self._failure is not None:
            raise self._failure
        self._out += data
        self._flush()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise TriremeError("a client is not shared with forked processes, which have one each")

    def _flush(self) -> None:
        self._check_process()
        while self._out and self._failure is None:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            except OSError as error:
                return self._fail(TriremeError(f"the proxy of this node closed the connection: {error}"))
            del self._out[:sent]

    def _until(self, condition: Callable[[], bool], end: Optional[float]) -> None:
        late = False
        while not condition():
            if self._failure is not None:
                raise self._failure
            if late:
                raise TimeoutError("it did not come in time")
            left = None if end is None else end - time.monotonic()
            late = left is not None and left <= 0  # what has come by now counts
            self._turn(None if left is None else max(left, 0))

    def _turn(self, timeout: Optional[float]) -> None:
        if self._failure is not None:
            return
        self._check_process()
        wanted = select.POLLIN | (select.POLLOUT if self._out else 0)
        poll = select.poll()
        poll.register(self._socket, wanted)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return
        self._flush()
        if self._failure is not None:
            return
        try:
            data = self._socket.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            return self._fail(TriremeError(f"the proxy of this node closed the connection: {error}"))
        if not data:
            return self._fail(TriremeError("the proxy of this node closed the connection"))
        try:
            for frame in self._frames.feed(data):
                self._receive(*frame)
        except (struct.error, IndexError, TriremeError) as error:
            self._fail(TriremeError(f"the proxy of this node broke the native protocol: {error}"))

    def _receive(self, kind: int, end: int, number: int, payload: bytes) -> None:
        if kind == _WELCOME:
            _, _, self._limit = struct.unpack("<HII", payload)
            self._welcome = True
            return
        if kind == _FAILURE and number == 0:
            return self._fail(TriremeError(payload[2:].decode("utf-8", "replace"), struct.unpack_from("<H", payload)[0]))
        pending = self._pending.get(number)
        if pending is None:
            return
        if kind == _WINDOW_FRAME:
            pending._credit += struct.unpack("<Q", payload)[0]
        elif kind == _FAILURE:
            self._end(pending, TriremeError(payload[2:].decode("utf-8", "replace"), struct.unpack_from("<H", payload)[0]))
        elif kind == _RESPONSE:
            status = struct.unpack_from("<H", payload, 8)[0]
            headers, at = _read_headers(memoryview(payload), 10)
            pending._response = Response(bytearray(payload[at:]), status, headers)
            self._took(pending, len(payload) - at, end)
        elif kind == _DATA and pending._response is not None:
            pending._response.body += payload
            self._took(pending, len(payload), end)

    def _took(self, pending: Pending, size: int, end: int) -> None:
        if end:
            return self._end(pending)
        pending._untold += size
        if pending._untold >= _WINDOW // 2:
            self._out += _frame(_WINDOW_FRAME, False, pending._number, struct.pack("<Q", pending._untold))
            pending._untold = 0
            self._flush()


class _Answering:
    """A connection of a proxy: requests in, answers out, in any order."""

    def __init__(self, service: "Service", connection: socket.socket):
        self._service = service
        self._socket = connection
        self._frames = _Frames()
        self._lock = threading.Lock()
        self._greeted = False
        self._last = 0
        self._requests: Dict[int, Request] = {}
        self._credit: Dict[int, int] = {}
        self._waiting: Dict[int, memoryview] = {}
        self._began = 0.0
        self._gathered: Optional[List[bytes]] = None  # answers of requests that came together leave together

    def run(self) -> None:
        held = b""
        try:
            while len(held) < len(_PREFACE):
                data = self._socket.recv(1 << 20)
                if not data:
                    return
                held += data
            if not held.startswith(_PREFACE):
                return
            data = held[len(_PREFACE):]
            while True:
                with self._lock:
                    self._gathered, self._began = [], time.monotonic()
                for frame in self._frames.feed(data):
                    self._receive(*frame)
                with self._lock:
                    out, self._gathered = b"".join(self._gathered), None
                    if out:
                        self._socket.sendall(out)
                data = self._socket.recv(1 << 20)
                if not data:
                    return
        except (OSError, struct.error, IndexError, TriremeError):
            return
        finally:
            for request in list(self._requests.values()):
                self._service._drop(request)
            self._socket.close()
            self._service._ended.set()

    def _send(self, data: bytes) -> None:
        if self._gathered is None:
            return self._socket.sendall(data)
        self._gathered.append(data)
        if time.monotonic() - self._began > 0.001:  # whoever has his answer shall not wait for slow ones
            self._socket.sendall(b"".join(self._gathered))
            self._gathered = []

    def _receive(self, kind: int, end: int, number: int, payload: bytes) -> None:
        if not self._greeted:
            if kind != _HELLO:
                raise TriremeError("the first frame is no hello")
            version, size = struct.unpack_from("<HH", payload)
            words = ""
            if version < _VERSION:
                words = "this service speaks version 1 of the native protocol"
            elif self._service.key and payload[4:4 + size] != self._service.key.encode():
                words = "the key is not this service's"
            with self._lock:
                if words:
                    self._socket.sendall(_frame(_FAILURE, True, 0, struct.pack("<H", 401) + words.encode()))
                    raise TriremeError(words)
                self._send(_frame(_WELCOME, False, 0, struct.pack("<HII", _VERSION, _WINDOW, _MAX_REQUESTS)))
            self._greeted = True
            return
        if kind == _REQUEST:
            if number <= self._last or len(self._requests) >= _MAX_REQUESTS:
                raise TriremeError("a request that may not be")
            self._last = number
            size = payload[8]
            method = payload[9:9 + size].decode("latin-1")
            at = 9 + size
            (size,) = struct.unpack_from("<H", payload, at)
            target = payload[at + 2:at + 2 + size].decode("latin-1")
            headers, at = _read_headers(memoryview(payload), at + 2 + size)
            request = Request(number, method, target, headers, bytearray(payload[at:]))
            request._connection = self
            self._requests[number] = request
            self._credit[number] = _WINDOW
            self._arrived(request, len(payload) - at, end)
        elif kind == _DATA:
            request = self._requests.get(number)
            if request is None:
                return  # it is over
            request.body += payload
            if len(request.body) > _MAX_BODY:
                return self.answer(request, Response(b"the body is too long", 413))
            self._arrived(request, len(payload), end)
        elif kind == _WINDOW_FRAME:
            with self._lock:
                if number in self._credit:
                    self._credit[number] += struct.unpack("<Q", payload)[0]
                    self._go_on(number)
        elif kind == _CANCEL:
            with self._lock:
                request = self._requests.pop(number, None)
                self._credit.pop(number, None)
                self._waiting.pop(number, None)
            if request is not None:
                self._service._drop(request)
        else:
            raise TriremeError("a frame that has no place here")

    def _arrived(self, request: Request, size: int, end: int) -> None:
        if end:
            return self._service._take(request)
        request._untold += size
        if request._untold >= _WINDOW // 2:
            with self._lock:
                self._send(_frame(_WINDOW_FRAME, False, request.number, struct.pack("<Q", request._untold)))
            request._untold = 0

    def answer(self, request: Request, response: Any) -> None:
        try:
            head, body = _encoded(response)
        except Exception as error:  # noqa: BLE001: whatever is no answer is an answer that says so
            head, body = _encoded(_raised(error))
        number = request.number
        with self._lock:
            if self._requests.pop(number, None) is None:
                return  # it was cancelled
            try:
                if len(body) <= _WINDOW // 2:
                    del self._credit[number]
                    return self._send(_frame(_RESPONSE, True, number, head + body))
                self._send(_frame(_RESPONSE, False, number, head))
                self._waiting[number] = body
                self._go_on(number)
            except OSError:
                request.cancelled = True  # the proxy is gone, and so is whoever asked

    def _go_on(self, number: int) -> None:
        body = self._waiting.get(number)
        while body is not None and self._credit[number] > 0:
            part = body[:min(self._credit[number], _MAX_PAYLOAD)]
            body = body[len(part):]
            self._credit[number] -= len(part)
            self._send(_frame(_DATA, not len(body), number, part.tobytes()))
            self._waiting[number] = body
            if not len(body):
                del self._waiting[number], self._credit[number]
                return


def _raised(error: BaseException) -> Response:
    try:
        words = str(error)
    except Exception:  # noqa: BLE001: of a class of the handler's own
        words = "(an error that cannot be told)"
    return Response(f"{type(error).__name__}: {words}\n".encode(errors="replace"), 500)


class Service:
    """A service of the native protocol. Define handle(request), which returns a Response or the bytes of one's body.

    Requests are handled one at a time, on the thread that reads them. With `max_batch` above 1, define handle_batch(requests)
    and give the longest time in seconds that the first of a batch waits for others as `max_delay`. What handle raises
    is its request's answer, with 500 and its text; what handle_batch raises is that of all in the batch.
    """

    max_batch = 1
    max_delay = 0.0
    key = ""  # {key}, where the command names it

    def handle(self, request: Request) -> Any:
        raise NotImplementedError

    def handle_batch(self, requests: List[Request]) -> List[Any]:
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Any:
        try:
            return self.handle(request)
        except BaseException as error:  # noqa: B036: whatever a handler raises is an answer, sys.exit() too
            return _raised(error)

    def serve(self, path: str) -> None:
        """Listens at the unix socket `path` ({socket} in the workflow file), for good."""
        self._queue: collections.deque = collections.deque()
        self._more = threading.Condition()
        self._ended = threading.Event()  # a connection has
        if self.max_batch > 1:
            threading.Thread(target=self._batches, daemon=True).start()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(64)
        while True:
            connection = None
            try:
                connection, _ = listener.accept()
                threading.Thread(target=_Answering(self, connection).run, daemon=True).start()
            except (OSError, RuntimeError) as error:
                # No descriptor, memory or thread is left for it: the next ones wait until others have ended.
                if isinstance(error, OSError) and error.errno not in _SHORT:
                    raise
                if connection is not None:
                    connection.close()  # whoever made it tries again
                self._ended.wait(_ACCEPT_BACKOFF)
                self._ended.clear()

    def _take(self, request: Request) -> None:
        if self.max_batch <= 1:
            return self._do([request])
        with self._more:
            self._queue.append(request)
            if len(self._queue) == 1 or len(self._queue) >= self.max_batch:
                self._more.notify()

    def _drop(self, request: Request) -> None:
        """Nobody wants its answer any more."""
        request.cancelled = True
        with self._more:
            if request in self._queue:
                self._queue.remove(request)

    def _do(self, batch: List[Request]) -> None:
        try:
            answers = [self._one(batch[0])] if self.max_batch <= 1 else self.handle_batch(batch)
            if len(answers) != len(batch):
                raise ValueError(f"handle_batch answered {len(answers)} of {len(batch)} requests")
        except BaseException as error:  # noqa: B036: whatever a handler raises is an answer, sys.exit() too
            answers = [_raised(error)] * len(batch)
        for request, answer in zip(batch, answers):
            request._connection.answer(request, answer)

    def _batches(self) -> None:
        while True:
            with self._more:
                self._more.wait_for(lambda: self._queue)
                left = self._queue[0]._came + self.max_delay - time.monotonic()
                if left > 0:
                    self._more.wait_for(lambda: len(self._queue) >= self.max_batch, left)
                batch = []
                while self._queue and len(batch) < self.max_batch:
                    request = self._queue.popleft()
                    if not request.cancelled:
                        batch.append(request)
            if batch:
                self._do(batch)
