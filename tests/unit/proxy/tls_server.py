"""An HTTPS server for the tests of remote endpoints: answers with the request's head, echoes bodies, streams events.

Usage: tls_server.py CERTIFICATE KEY. Prints its port, ends when its standard input ends.
"""
import http.server
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                size = int(self.rfile.readline().strip(), 16)
                data = self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return
                yield data
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left > 0:
                data = self.rfile.read(min(left, 65536))
                left -= len(data)
                yield data

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_GET(self):
        if self.path == "/break":
            self.close_connection = True
            self.connection.close()
            return
        text = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        text = f"{self.command} {self.path}\nconnection {self.client_address[1]}\n{text}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self):
        self.send_response(201, "Made")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in self.read_body():
            self.chunk(data)
        self.chunk(b"")


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
