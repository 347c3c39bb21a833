"""Serves a model over HTTP: POST {"rows": [[...], ...]} to /classify, get {"classes": [...], "replica": N}.

It may be started before the model exists: /health answers 503 until the model has come and been loaded.
"""

import argparse
import json
import os
import pickle
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = None
    replica = 0

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != "/health":
            self.answer(404, {"error": "no such page"})
        elif Handler.model is None:
            self.answer(503, {"error": "waiting for the model"})
        else:
            self.answer(200, {"status": "ready"})

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        classes = Handler.model.predict(rows).tolist()
        self.answer(200, {"classes": classes, "replica": Handler.replica})

    def log_message(self, *arguments):
        pass


def load_when_there(path):
    while not os.path.exists(path):
        time.sleep(0.1)
    with open(path, "rb") as file:
        Handler.model = pickle.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--replica", type=int, required=True)
    arguments = parser.parse_args()
    Handler.replica = arguments.replica
    threading.Thread(target=load_when_there, args=(arguments.model,), daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
