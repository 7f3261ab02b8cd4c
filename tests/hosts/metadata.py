"""A double of EC2's instance metadata service: python metadata.py FOLDER, in the instance's own network namespace.

FOLDER has user-data, meta-data/ and dynamic/, which are served below every version's name, also what comes there later.
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
        self._answer(200, TOKEN.encode()) if self.path == "/latest/api/token" and wanted else self._answer(
            400
        )

    def do_GET(self) -> None:
        # Only IMDSv2, except for cloud-init, which uses tokens only if the firmware identifies EC2.
        trusted = self.headers.get("User-Agent", "").startswith(("Cloud-Init/", "python-requests/"))
        if not trusted and self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401)
            return
        _, _, rest = self.path.removeprefix("/").partition("/")
        found = Path(sys.argv[1]) / rest
        if found.is_dir():
            names = (each.name + "/" * each.is_dir() for each in sorted(found.iterdir()))
            self._answer(200, "\n".join(names).encode())
        elif found.is_file():
            self._answer(200, found.read_bytes())
        else:
            self._answer(404)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(ADDRESS, Handler).serve_forever()
