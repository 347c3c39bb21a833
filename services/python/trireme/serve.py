"""Serves a scikit-learn estimator or a TorchScript module: what the presets `scikit-learn` and `pytorch` start.

POST /predict takes {"inputs": [row, …]} and answers {"outputs": [value, …]}, with null for what is no number (NaN) or not finite;
GET /health answers once the model is loaded. Rows that the model does not take are answered 400, whatever else it raises 500 with the
traceback on standard error. The server listens on loopback alone. Requests are worked on one after the other: the model's own threads use the replica's cores.

A TorchScript module is on the GPU where the replica has one, and takes no more of its memory than the replica's share. After an error
of the GPU itself nothing works there any more in this process: it says so and ends, and Trireme starts the replica again.
"""

import argparse
import http.server
import json
import math
import os
import re
import sys
import traceback


class BadRequest(Exception):
    """What came in is no HTTP request: where it ends cannot be told."""


class GpuLost(Exception):
    """The GPU cannot be used any more by this process."""


def sklearn_model(path):
    import joblib

    model = joblib.load(path)
    return lambda rows: model.predict(rows).tolist()


def pytorch_model(path):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        print(f"{path} is on {torch.cuda.get_device_name()}", flush=True)
        if "TRIREME_GPU_FRACTION" in os.environ:
            torch.cuda.set_per_process_memory_fraction(float(os.environ["TRIREME_GPU_FRACTION"]))
    elif os.environ.get("CUDA_VISIBLE_DEVICES"):
        print(f"{path} is on the CPU: PyTorch {torch.__version__} finds no GPU", file=sys.stderr, flush=True)
    model = torch.jit.load(path, map_location=device).eval()

    def usable():
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return False
        return True

    def predict(rows):
        try:
            with torch.inference_mode():
                return model(torch.tensor(rows, dtype=torch.float32, device=device)).tolist()
        except RuntimeError as error:
            if "out of memory" in str(error):  # from inside a module it is of no class of its own
                raise MemoryError(str(error)) from error
            if device == "cuda" and not usable():
                raise GpuLost(str(error)) from error
            raise

    return predict


LOADERS = {"sklearn": sklearn_model, "pytorch": pytorch_model}


def finite(value):
    """The value with null for what JSON has no number for."""
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def encoded(content):
    try:
        return json.dumps(content, allow_nan=False).encode()
    except ValueError:
        return json.dumps({name: finite(value) for name, value in content.items()}, allow_nan=False).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # of a connection that says nothing
    wbufsize = -1  # head and body leave in one piece: a body of its own would wait 40 ms for the head's acknowledgement

    def do_GET(self):
        self.handle_request({"/health": lambda _: self.answer(200, {"status": "ok"})})

    def do_POST(self):
        self.handle_request({"/predict": self.predict})

    def handle_request(self, paths):
        try:
            body = self.body()
        except BadRequest as error:
            self.close_connection = True
            return self.answer(400, {"error": str(error)})
        if self.path not in paths:
            return self.answer(404, {"error": "there is nothing at this path"})
        paths[self.path](body)

    def body(self):
        encoding = self.headers.get("Transfer-Encoding")
        if encoding is None:
            length = self.headers.get("Content-Length", "0")
            if not re.fullmatch("[0-9]{1,18}", length):
                raise BadRequest(f"Content-Length: {length!r} is no length")
            return self.rfile.read(int(length))
        if encoding.lower() != "chunked":
            raise BadRequest(f"Transfer-Encoding: {encoding!r} is not understood")
        chunks = []
        while True:
            size = re.fullmatch(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?\r?\n", self.rfile.readline(1024))
            if not size:
                raise BadRequest("the body is not chunked as it says")
            if int(size[1], 16) == 0:
                break
            chunks.append(self.rfile.read(int(size[1], 16)))
            if self.rfile.readline(3) not in (b"\r\n", b"\n"):
                raise BadRequest("a chunk of the body is not as long as it says")
        while self.rfile.readline(65536) not in (b"\r\n", b"\n", b""):
            pass  # trailers
        return b"".join(chunks)

    def predict(self, body):
        try:
            rows = json.loads(body)["inputs"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return self.answer(400, {"error": f'the body is no {{"inputs": [row, ...]}}: {error!r}'})
        try:
            answer = encoded({"outputs": self.server.predict(rows)})
        except (ValueError, TypeError, IndexError, RuntimeError) as error:  # rows of the wrong shape or kind
            return self.answer(400, {"error": str(error)})
        except MemoryError as error:
            return self.answer(503, {"error": str(error)})
        except GpuLost as error:
            self.answer(500, {"error": str(error)})
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        except Exception as error:  # noqa: BLE001: whatever a model raises is an answer
            traceback.print_exc()
            return self.answer(500, {"error": f"the model raised {error!r}"})
        self.send(200, answer)

    def answer(self, status, content):
        self.send(status, encoded(content))

    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_request(self, code="-", size="-"):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser(prog="trireme.serve")
    parser.add_argument("kind", choices=LOADERS)
    parser.add_argument("model", help="the file")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    predict = LOADERS[arguments.kind](arguments.model)
    server = Server(("127.0.0.1", arguments.port), Handler)
    server.predict = predict
    server.serve_forever()


if __name__ == "__main__":
    main()
