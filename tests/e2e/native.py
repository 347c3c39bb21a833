"""A native service and its clients: native.py serve SOCKET | native.py client WHAT."""

import http.client
import os
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TRIREME_BUILD"], "python"))

from trireme import TriremeError  # noqa: E402
from trireme.native import Client, Response, Service  # noqa: E402


# What is no answer.
WRONG = {
    "text": "not bytes",
    "status": Response(b"", 7),
    "framing": Response(b"", 200, {"Content-Length": "5"}),
    "lines": Response(b"", 200, {"X-Said": "a\r\nb"}),
    "letters": Response(b"", 200, {"X-Said": "\u20ac"}),
    "long": Response(b"", 200, {f"X-{i}": "x" * 60_000 for i in range(5)}),
}


class Untold(Exception):
    def __str__(self):
        raise ValueError("it cannot be told")


RAISED = {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "untold": Untold(), "surrogate": ValueError("\udc80")}


class Echo(Service):
    """Batches, so that requests overlap. What it saw of cancelled requests is in the folder that it runs in."""

    max_batch = 64
    max_delay = 0.001

    def handle(self, request):
        if request.target == "/die":
            os._exit(3)
        if request.target == "/fail":
            raise ValueError("as asked")
        if "/raise/" in request.target:
            raise RAISED[request.target.rsplit("/", 1)[1]]
        if "/wrong/" in request.target:
            return WRONG[request.target.rsplit("/", 1)[1]]
        if request.target == "/size":
            return str(len(request.body)).encode()
        if request.target == "/wait":
            end = time.monotonic() + 60
            while not request.cancelled and time.monotonic() < end:
                time.sleep(0.001)
            return b"cancelled"
        return Response(request.body, 200, {"Content-Type": "application/octet-stream", "X-Seen": request.target})


def client(what):
    with Client() as native:
        if what == "all":
            pending = [native.submit("echo", str(i).encode(), f"/{i}") for i in range(500)]
            for i, one in enumerate(pending):
                answer = one.result(60)
                assert (answer.status, bytes(answer.body), answer.headers["x-seen"]) == (200, str(i).encode(), f"/{i}"), (i, answer.status)
            body = os.urandom(1 << 20) * 24
            assert bytes(native.request("echo", body, timeout=60).body) == body
            assert native.request("echo", path="/fail", timeout=60).status == 500
            assert native.request("nobody", timeout=60).status == 404
            late = native.request("echo", path="/wait", headers={"X-Trireme-Deadline": "0.2"}, timeout=60)
            assert late.status == 504, late.status
            waiting = native.submit("echo", path="/wait")
            waiting.cancel()
            # The service handles one batch at a time: that it answers means that it was told of both ends.
            assert native.request("echo", b"after", timeout=60).body == b"after"
            # An HTTP service answers a native client, and a native service an HTTP client.
            page = native.request("web", method="GET", timeout=60)
            assert page.status == 200, page.status
            plain = http.client.HTTPConnection(os.environ["TRIREME_PROXY_URL"].split("//")[1], timeout=60)
            plain.request("POST", "/services/echo/size", body=b"x" * 100_000)
            answer = plain.getresponse()
            assert (answer.status, answer.read()) == (200, b"100000"), answer.status
            try:
                bad = Client()
                bad._send(b"\xff" * 64, None)
                bad.request("echo", timeout=60)
            except TriremeError as error:
                assert "frame" in str(error) or "closed" in str(error), error
            else:
                raise AssertionError("bad frames were taken")
            assert native.request("echo", b"still", timeout=60).body == b"still"
        else:
            answer = native.request("echo", path="/die", timeout=60)
            assert answer.status == 502, answer.status
            assert native.request("echo", b"again", timeout=60).body == b"again"
    print("well")


class EchoInPlace(Echo):
    max_batch = 1


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        Echo().serve(sys.argv[2])
    elif sys.argv[1] == "serve-in-place":
        EchoInPlace().serve(sys.argv[2])
    else:
        client(sys.argv[2])
