"""The client side of test_services.py: runs as a task, talks to the service `web` through the proxy of its own node."""

import hashlib
import http.client
import os
import sys
import threading
import time
from urllib.parse import urlparse

URL = urlparse(os.environ["TRIREME_SERVICE_WEB_URL"])


def connect():
    return http.client.HTTPConnection(URL.hostname, URL.port, timeout=60)


def request(method, path, body=None):
    connection = connect()
    connection.request(method, URL.path + path, body)
    response = connection.getresponse()
    data = response.read()
    assert response.status == 200, (response.status, data)
    return response, data


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def proxy_memory():
    """Peak resident memory of the largest process that belongs to the runtime on this host, in MiB."""
    peak = 0
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() != "trireme":
                    continue
            with open(f"/proc/{pid}/status") as file:
                peak = max(peak, *(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM")))
        except (OSError, ValueError, TypeError):
            continue
    return peak


def large():
    block = hashlib.sha256(sys.argv[2].encode()).digest() * 2048
    total = 64 << 20
    before = proxy_memory()

    def produce():
        for _ in range(total // len(block)):
            yield block

    connection = connect()
    connection.putrequest("POST", URL.path + "/echo")
    connection.putheader("Content-Length", str(total))
    connection.endheaders()
    # The answer comes while the body goes: reading waits in another thread.
    received = hashlib.sha256()
    length = [0]

    def read():
        response = connection.response_class(connection.sock, method="POST")
        response.begin()
        assert response.status == 200, response.status
        while data := response.read(1 << 16):
            received.update(data)
            length[0] += len(data)

    reader = threading.Thread(target=read)
    reader.start()
    sent = hashlib.sha256()
    for data in produce():
        connection.sock.sendall(data)
        sent.update(data)
    reader.join()
    assert length[0] == total and received.digest() == sent.digest(), length[0]
    growth = proxy_memory() - before
    print(f"64 MiB up and down, the proxies' peak memory grew by {growth} MiB")
    assert growth < 40, growth


def events():
    connection = connect()
    connection.request("GET", URL.path + "/events?n=3")
    response = connection.getresponse()
    assert response.status == 200
    assert response.read(len("data: 0\n\n")) == b"data: 0\n\n"
    for _ in range(2):  # the others are produced only now
        request("POST", "/next", b"")
    assert response.read() == b"data: 1\n\ndata: 2\n\n"


def disconnect():
    gone = int(request("GET", "/gone")[1])
    connection = connect()
    mine = f"?{os.getpid()}"
    connection.request("GET", URL.path + "/hang" + mine)
    wait_until(lambda: request("GET", "/begun" + mine)[1] == b"yes")
    connection.close()
    wait_until(lambda: int(request("GET", "/gone")[1]) > gone)


def spread():
    for _ in range(50):
        request("GET", "/")
    if sys.argv[2] == "0":  # with the slots of the nearer replica taken, the other one answers
        hanging = [connect() for _ in range(20)]
        for connection in hanging:
            connection.request("GET", URL.path + "/hang")
        for _ in range(10):
            request("GET", "/")
        for connection in hanging:
            connection.close()


def kill():
    if sys.argv[2] == "0":
        connection = connect()
        connection.request("GET", URL.path + "/exit")
        response = connection.getresponse()
        assert response.status in (502, 503), response.status

    def answers():
        connection = connect()
        connection.request("GET", URL.path + "/")
        response = connection.getresponse()
        try:
            response.read()
        except http.client.IncompleteRead:  # the service died with half of its answer sent
            return False
        return response.status == 200

    wait_until(answers)


{"large": large, "events": events, "disconnect": disconnect, "spread": spread, "kill": kill}[sys.argv[1]]()
