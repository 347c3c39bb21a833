"""A server of several processes that find each other without MPI: meeting.py RANK RANKS HEAD HEAD_PORT PORT.

Rank 0 waits at HEAD_PORT for all the others and then answers each request at PORT with their numbers, in order."""

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

rank, ranks, head, head_port, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])


def join():
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((head, head_port), timeout=5)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = " ".join(str(one) for one in present).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if rank > 0:
    with join() as connection:
        connection.settimeout(None)
        connection.sendall(f"{rank}\n".encode())
        connection.recv(1)  # as long as rank 0 lives
    sys.exit(0)

present = [0]
members = []
with socket.create_server(("", head_port)) as listener:
    while len(present) < ranks:
        member, _ = listener.accept()
        members.append(member)
        present.append(int(member.makefile().readline()))
present.sort()
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
