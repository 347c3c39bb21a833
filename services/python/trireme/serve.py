"""Serves a scikit-learn estimator or a TorchScript module: what the presets `scikit-learn` and `pytorch` start.

POST /predict takes {"inputs": [row, …]} and answers {"outputs": [value, …]}; GET /health answers once the model is loaded. The
server listens on loopback alone. Requests are worked on one after the other: the model's own threads use the replica's cores.

A TorchScript module is on the GPU where the replica has one, and takes no more of its memory than the replica's share. After an error
of the GPU itself nothing works there any more in this process: it says so and ends, and Trireme starts the replica again.
"""

import argparse
import http.server
import json
import os
import sys


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


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # of a connection that says nothing
    wbufsize = -1  # head and body leave in one piece: a body of its own would wait 40 ms for the head's acknowledgement

    def do_GET(self):
        self.answer(200 if self.path == "/health" else 404, {"status": "ok"} if self.path == "/health" else {"error": "there is nothing at this path"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/predict":
            return self.answer(404, {"error": "there is nothing at this path"})
        try:
            rows = json.loads(body)["inputs"]
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, {"error": f'the body is no {{"inputs": [row, ...]}}: {error!r}'})
        try:
            outputs = self.server.predict(rows)
        except (ValueError, TypeError, IndexError, RuntimeError) as error:  # rows of the wrong shape or kind
            return self.answer(400, {"error": str(error)})
        except MemoryError as error:
            return self.answer(503, {"error": str(error)})
        except GpuLost as error:
            self.answer(500, {"error": str(error)})
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        self.answer(200, {"outputs": outputs})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
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
