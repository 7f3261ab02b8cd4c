"""A test double of a Kubernetes API server: HTTP on loopback, with Jobs, Secrets and pods that never run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
NAMESPACE = "load"


class Double:
    """The server's state, and how it is to respond."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Json]] = {"jobs": {}, "secrets": {}, "pods": {}, "events": {}}
        self.version = {"major": "1", "minor": "30+"}
        self.refusals: dict[tuple[str, str], tuple[int, str]] = {}
        self.bodies: list[Json] = []
        self.calls: list[str] = []
        self.pods_at_most = 10**6
        self.url = ""

    def left(self) -> list[str]:
        return [f"{kind}/{name}" for kind, all_ in self.kept.items() for name in all_]

    def answer(self, method: str, target: str, body: Json) -> tuple[int, Json | str]:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/version":
            return 200, self.version
        where, _, rest = url.path.partition(f"/namespaces/{NAMESPACE}/")
        if where not in ("/api/v1", "/apis/batch/v1"):
            return 404, {"message": f"{url.path} not found"}
        kind, *words = rest.split("/")
        self.calls.append(f"{method} {kind}")
        if refusal := self.refusals.get((method, kind)):
            return refusal[0], {"message": refusal[1]}
        if words[1:] == ["log"]:
            return 200, f"log of {words[0]}\n"
        if method == "POST":
            return self._make(kind, body)
        if method == "DELETE":
            return self._delete(kind, words[0], body)
        return self._list(kind, query)

    def _make(self, kind: str, body: Json) -> tuple[int, Json]:
        name = body["metadata"]["name"]
        if name in self.kept[kind]:
            return 409, {"message": f'{kind} "{name}" already exists'}
        body["metadata"]["uid"] = f"uid-{len(self.bodies)}"
        self.bodies.append(body)
        self.kept[kind][name] = body
        if kind == "jobs":
            for i in range(min(body["spec"]["parallelism"], self.pods_at_most)):
                metadata = {
                    "name": f"{name}-{i:04}-x",
                    "labels": body["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [{"uid": body["metadata"]["uid"]}],
                }
                self.kept["pods"][metadata["name"]] = {
                    "metadata": metadata,
                    "spec": {"hostname": f"{name}-{i}"},
                    "status": {"phase": "Pending"},
                }
        return 201, body

    def _delete(self, kind: str, name: str, options: Json) -> tuple[int, Json]:
        resource = self.kept[kind].pop(name, None)
        if resource is None:
            return 404, {"message": f'{kind} "{name}" not found'}
        if options.get("propagationPolicy") in ("Background", "Foreground"):
            uid = resource["metadata"]["uid"]
            for all_ in self.kept.values():
                for other in [
                    name
                    for name, item in all_.items()
                    if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", ()))
                ]:
                    del all_[other]
        return 200, {"status": "Success"}

    def _list(self, kind: str, query: dict[str, str]) -> tuple[int, Json]:
        name, equals, value = query.get("labelSelector", "").partition("=")
        items = [
            item
            for _, item in sorted(self.kept[kind].items())
            if not name
            or (
                name in item["metadata"].get("labels", {})
                and (not equals or item["metadata"]["labels"][name] == value)
            )
        ]
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 10**9))
        more = str(start + limit) if start + limit < len(items) else ""
        return 200, {"items": items[start : start + limit], "metadata": {"continue": more}}


@contextmanager
def serving() -> Iterator[Double]:
    double = Double()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            with lock:
                status, response = double.answer(self.command, self.path, body)
            content = response.encode() if isinstance(response, str) else json.dumps(response).encode()
            self.send_response(status)
            self.send_header(
                "Content-Type", "text/plain" if isinstance(response, str) else "application/json"
            )
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
