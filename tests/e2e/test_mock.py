"""The mock model server at its sockets: what it answers, and the faults that it makes on purpose."""

import http.client
import json
import os
import socket
import subprocess
import tempfile
import unittest

import harness

MOCK = os.path.join(harness.BUILD, "trireme-mock")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=harness.DEADLINE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Mock(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="trireme-test-")
        self.addCleanup(self.folder.cleanup)

    def serve(self, *options):
        addresses = os.path.join(self.folder.name, "addresses")
        self.process = subprocess.Popen([MOCK, "--addresses", addresses, "--speed", "20", *options])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.terminate)
        harness.wait_until(lambda: os.path.exists(addresses) or self.process.poll() is not None, "the mock listens")
        with open(addresses) as file:
            return [self.connection(line) for line in file.read().split()]

    def connection(self, address):
        unix_socket = address.startswith("unix:")
        made = UnixConnection(address.removeprefix("unix:")) if unix_socket else http.client.HTTPConnection(address.removeprefix("http://"), timeout=harness.DEADLINE)
        self.addCleanup(made.close)
        return made

    def ask(self, connection, path, body=None, **headers):
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response, response.read()

    def test_every_server_of_a_process_answers_and_says_which_it_is(self):
        for i, connection in enumerate(self.serve("--servers", "20")):
            response, _ = self.ask(connection, "/health")
            self.assertEqual((response.status, response.headers["X-Mock-Server"]), (200, str(i)))

    def test_it_speaks_both_apis_on_a_unix_socket_too(self):
        (connection,) = self.serve("--socket", os.path.join(self.folder.name, "s"), "--model", "small")
        _, body = self.ask(connection, "/v1/completions", {"model": "small", "prompt": "row", "max_tokens": 3})
        self.assertEqual(json.loads(body)["usage"]["completion_tokens"], 3)
        _, body = self.ask(connection, "/v1/chat/completions", {"model": "small", "messages": [], "max_tokens": 3, "stream": True})
        self.assertTrue(body.endswith(b"data: [DONE]\n\n"), body)
        _, body = self.ask(connection, "/api/generate", {"model": "small", "prompt": "row", "options": {"num_predict": 3}})
        lines = [json.loads(line) for line in body.splitlines()]
        self.assertEqual((len(lines), lines[-1]["done"]), (4, True))
        response, body = self.ask(connection, "/v1/completions", {"prompt": "row"})
        self.assertEqual((response.status, json.loads(body)["error"]["type"]), (400, "invalid_request_error"))

    def test_faults_strike_the_request_that_asks_for_them_and_no_other(self):
        (connection,) = self.serve()
        question = {"model": "m", "prompt": "row", "max_tokens": 4, "stream": True}
        for fault, error in {"garbage": http.client.BadStatusLine, "short": http.client.IncompleteRead, "reset=2": (ConnectionResetError, http.client.IncompleteRead)}.items():
            with self.subTest(fault=fault), self.assertRaises(error):
                self.ask(connection, "/v1/completions", question, **{"X-Mock-Fault": fault})
            connection.close()
        response, _ = self.ask(connection, "/v1/completions", question, **{"X-Mock-Fault": "status=503"})
        self.assertEqual(response.status, 503)
        connection.timeout = 0.5
        connection.close()
        for fault in ("hang", "stall=2"):
            with self.subTest(fault=fault), self.assertRaises(TimeoutError):
                self.ask(connection, "/v1/completions", question, **{"X-Mock-Fault": fault})
            connection.close()
        connection.timeout = harness.DEADLINE
        response, body = self.ask(connection, "/v1/completions", question)
        self.assertEqual(response.status, 200)
        self.assertEqual(json.loads(self.ask(connection, "/stats")[1])["running"], 0)

    def test_it_dies_of_its_last_request(self):
        (connection,) = self.serve("--die-after", "3")
        for _ in range(2):
            self.assertEqual(self.ask(connection, "/noop")[0].status, 200)
        with self.assertRaises(ConnectionError):
            self.ask(connection, "/noop")
        self.assertEqual(self.process.wait(harness.DEADLINE), 1)

    def test_it_can_refuse_to_take_connections_and_to_be_ready(self):
        (connection,) = self.serve("--start-delay", "1h")
        self.assertEqual(self.ask(connection, "/health")[0].status, 503)
        self.process.terminate()
        os.unlink(os.path.join(self.folder.name, "addresses"))
        (connection,) = self.serve("--hang-accept")
        connection.timeout = 0.5
        with self.assertRaises(TimeoutError):
            self.ask(connection, "/noop")

    def test_wrong_options_are_refused_in_words(self):
        for options in (["--fault", "explode"], ["--speed", "0"], ["--step-ms", "0"]):
            result = subprocess.run([MOCK, *options], capture_output=True, text=True, timeout=harness.DEADLINE)
            self.assertEqual(result.returncode, 2)
            self.assertIn("trireme-mock: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
