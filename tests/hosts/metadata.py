"""A double of EC2's instance metadata service, version 2 only: python metadata.py ID FOLDER.

It runs in the instance's own network namespace. A file `spot` in FOLDER is the notice of an interruption.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "of-this-instance"
ADDRESS = ("169.254.169.254", 80)


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        wanted = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200, TOKEN) if self.path == "/latest/api/token" and wanted else self._answer(400, "")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401, "")
            return
        notice = Path(sys.argv[2]) / "spot"
        if self.path == "/latest/meta-data/instance-id":
            self._answer(200, sys.argv[1])
        elif self.path == "/latest/meta-data/spot/instance-action" and notice.exists():
            self._answer(200, notice.read_text())
        else:
            self._answer(404, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(ADDRESS, Handler).serve_forever()
