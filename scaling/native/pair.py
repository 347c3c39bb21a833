"""No-op requests in Python, each client a process of its own, as JSON.

pair.py zmq-serve ADDRESS | zmq ADDRESS[,ADDRESS…] CLIENTS SECONDS: ZeroMQ REQ/REP; client i of n services asks the (i mod n)-th.
pair.py native-serve SOCKET | native SERVICE CLIENTS SECONDS: trireme.native, over TRIREME_SOCKET.
"""

import json
import multiprocessing
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "services", "python"))


def zmq_asker(address):
    import zmq

    socket = zmq.Context().socket(zmq.REQ)
    socket.connect(address)

    def ask():
        socket.send(b"")
        socket.recv()

    return ask


def native_asker(service):
    from trireme.native import Client

    client = Client()
    return lambda: client.request(service)


def client(make, where, seconds, results):
    ask = make(where)
    latencies = []
    until = time.perf_counter() + seconds / 4
    while time.perf_counter() < until:
        ask()
    begin = now = time.perf_counter()
    while now < begin + seconds:
        ask()
        after = time.perf_counter()
        latencies.append(after - now)
        now = after
    results.put((latencies, now - begin))


def ask(make, where, clients, seconds):
    results = multiprocessing.Queue()
    services = where.split(",")
    processes = [multiprocessing.Process(target=client, args=(make, services[i % len(services)], seconds, results)) for i in range(clients)]
    for process in processes:
        process.start()
    parts = [results.get(timeout=seconds * 4 + 60) for _ in processes]
    for process in processes:
        process.join()
    latencies = sorted(latency for part, _ in parts for latency in part)
    rate = sum(len(part) / span for part, span in parts)
    print(json.dumps({"requests": len(latencies), "failed": 0, "seconds": len(latencies) / rate, "mean_s": sum(latencies) / len(latencies), "p50_s": latencies[len(latencies) // 2],
                      "p99_s": latencies[int(len(latencies) * 0.99)]}))


def main(what, where, *rest):
    if what == "zmq-serve":
        import zmq

        socket = zmq.Context().socket(zmq.REP)
        socket.bind(where)
        while True:
            socket.recv()
            socket.send(b"")
    elif what == "native-serve":
        from trireme.native import Service

        class Noop(Service):
            def handle(self, request):
                return b""

        Noop().serve(where)
    else:
        ask({"zmq": zmq_asker, "native": native_asker}[what], where, int(rest[0]), float(rest[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
