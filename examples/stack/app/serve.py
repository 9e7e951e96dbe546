"""A small HTTP server that ends as a good replica does: on SIGTERM it takes no new connection and finishes what it has."""

import http.server
import json
import signal
import socket
import threading

PORT = 8080
NAME = socket.gethostname()


class Server(http.server.ThreadingHTTPServer):
    """Waits for its answers when it is closed."""

    daemon_threads = False
    request_queue_size = 128


def serve(answer):
    """Serves until SIGTERM. `answer(path)` gives a status and what is sent as JSON."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 2
        # Head and body in one segment.
        wbufsize = 65536

        def do_GET(self):
            status, said = (200, {"name": NAME}) if self.path == "/healthy" else answer(self.path)
            body = (json.dumps(said) + "\n").encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if stopping.is_set():
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_):
            pass

    stopping = threading.Event()
    server = Server(("", PORT), Handler)

    def stop(*_):
        stopping.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
