"""A server that takes alerts, or fails to."""

import json
import queue
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "wXyZ-T0000-B0000"  # noqa: S105


class Receiver:
    """A server that takes what is posted and answers as `how` says."""

    def __init__(self):
        self.bodies = queue.Queue()
        self.how = "200"
        self.asked = threading.Event()
        self.free = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.set()
                receiver.answer(self, body)

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_arguments: None
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"

    def answer(self, request, body):
        how = self.how
        if how == "hangs":
            self.free.wait(30)
            return
        if how == "closes":
            request.wfile.write(b"HTTP/1.1 2")
            request.close_connection = True
            return
        self.bodies.put((request.path, request.headers["Content-Type"], json.loads(body)))
        request.send_response(int(how))
        if how == "307":
            request.send_header("Location", request.path.replace("services", "elsewhere"))
        request.send_header("Content-Length", "0")
        request.end_headers()

    def texts(self):
        found = []
        while not self.bodies.empty():
            found.append(self.bodies.get()[2]["text"])
        return found


@contextmanager
def receiving():
    """Yield a receiver that listens."""
    one = Receiver()
    serving = threading.Thread(target=one.server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield one
    finally:
        one.free.set()
        one.server.shutdown()
        serving.join()
        one.server.server_close()
