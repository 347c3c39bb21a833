"""Serves a scikit-learn estimator or a TorchScript module: what the presets `scikit-learn` and `pytorch` start.

POST /predict takes {"inputs": [row, …]} and answers {"outputs": [value, …]}; GET /health answers once the model is loaded. The
server listens on loopback alone. Requests are worked on one after the other: the model's own threads use the replica's cores.
"""

import argparse
import http.server
import json


def sklearn_model(path):
    import joblib

    model = joblib.load(path)
    return lambda rows: model.predict(rows).tolist()


def pytorch_model(path):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.jit.load(path, map_location=device).eval()

    def predict(rows):
        with torch.inference_mode():
            return model(torch.tensor(rows, dtype=torch.float32, device=device)).tolist()

    return predict


LOADERS = {"sklearn": sklearn_model, "pytorch": pytorch_model}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # of a connection that says nothing

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
        except (ValueError, TypeError, RuntimeError) as error:  # rows of the wrong shape or kind
            return self.answer(400, {"error": str(error)})
        self.answer(200, {"outputs": outputs})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

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
