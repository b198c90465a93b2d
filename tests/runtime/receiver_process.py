"""A receiver as plain as can be: `python receiver_process.py PORT FILE` appends the data of each event."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = open(sys.argv[2], "ab", buffering=0)  # noqa: SIM115


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        FILE.write(json.dumps(json.loads(body)["data"]).encode() + b"\n")
        os.fsync(FILE.fileno())
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
