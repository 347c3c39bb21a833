"""A server for tests: echoes bodies, sends events one by one, tells when a client went away.

    POST /echo        the body back, as it comes
    GET  /events?n=N  N server-sent events; each after the first waits until POST /next
    GET  /hang?ID     never answers; GET /begun?ID says whether it is here, GET /gone counts the clients of /hang and /events that went away
    GET  /exit        ends the process
"""

import argparse
import os
import queue
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

tickets = queue.Queue()
gone = 0
begun = set()
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replica = "0"

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Replica", self.replica)
        self.end_headers()
        self.wfile.write(body)

    def count_gone(self):
        global gone
        with lock:
            gone += 1
        self.close_connection = True

    def do_GET(self):
        path = urlparse(self.path)
        if path.path == "/events":
            self.events(int(parse_qs(path.query)["n"][0]))
        elif path.path == "/hang":
            begun.add(path.query)
            select.select([self.connection], [], [])  # readable only when the client has gone
            self.count_gone()
        elif path.path == "/begun":
            self.answer(b"yes" if path.query in begun else b"no")
        elif path.path == "/gone":
            self.answer(str(gone).encode())
        elif path.path == "/exit":
            os._exit(9)
        else:
            self.answer(b"hello from " + self.replica.encode())

    def events(self, count):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(count):
            if i > 0:
                tickets.get()
            event = f"data: {i}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if self.path == "/next":
            self.rfile.read(length)
            tickets.put(None)
            self.answer(b"")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Replica", self.replica)
        self.end_headers()
        while length > 0:
            data = self.rfile.read(min(length, 1 << 16))
            if not data:
                return
            self.wfile.write(data)
            length -= len(data)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--replica", default="0")
    arguments = parser.parse_args()
    Handler.replica = arguments.replica
    Server(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
