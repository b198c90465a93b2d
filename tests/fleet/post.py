"""A service that is no code of Borough's: a program with a listener, of Python's own library alone.

It is run as `python post.py {port}`; `post.py lame` answers no health, `post.py deaf` does not stop when it is told to,
`post.py leaving` leaves a process behind that prints nothing and never closes what it could print to,
`post.py keeping` ends no connection,
`post.py thorough` says that it was told to stop.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__: list[str] = []


def ask_ledger() -> int:
    """Call another service, as the environment says where it is and who calls."""
    (url,) = json.loads(Path(os.environ["BOROUGH_DIRECTORY"]).read_text())["ledger"]
    name = os.environ["BOROUGH_SERVICE"]
    proof = (Path(os.environ["BOROUGH_TOKENS"]) / f"{name}.token").read_text().strip()
    fields = {"borough-service": name, "borough-proof": proof}
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/ledger/secret", None, fields)
    ) as answer:
        return int(answer.read())


class Post(BaseHTTPRequestHandler):
    """Answers health, and what it was started with."""

    is_lame = is_keeping = False

    def do_GET(self) -> None:
        if self.path in ("/readyz", "/livez"):
            if self.is_lame:
                print("asked", flush=True)
            self.answer(503 if self.is_lame else 200, "as it is")
        elif self.path == "/borough/hello":
            promised = {"post.Post": {"version": "1.0", "fingerprint": ""}}
            self.answer(
                200,
                {"process": "p", "system": "s", "services": {"post": "2.5"}, "contracts": promised},
            )
        elif self.path == "/borough/contracts/post.Post":
            self.answer(200, "[" * 100_000)
        elif self.path == "/post/facts":
            facts = {"pid": os.getpid(), "folder": str(Path.cwd()), "arguments": sys.argv[1:]}
            self.answer(200, {**facts, "environment": dict(os.environ), "secret": SECRET})
        else:
            self.answer(404, "nothing")

    def answer(self, status: int, document: object) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.is_keeping:
            self.wfile.flush()
            threading.Event().wait()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of requests."""


if __name__ == "__main__":
    word = sys.argv[1]
    if word == "broken":
        sys.exit("the post has no stamps")
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"below {below.pid}", flush=True)
    if word == "leaving":
        left = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print(f"left {left.pid}", end="", flush=True)
        sys.exit(1)
    if word == "thorough":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("the post is swept"))
    Post.is_keeping = word == "keeping"
    Post.is_lame = word == "lame"
    SECRET = ask_ledger() if "BOROUGH_DIRECTORY" in os.environ and word.isdigit() else None
    listener = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Post)
    print("the post is open", flush=True)
    listener.serve_forever()
