"""moto as a server in this process: commands use it as AWS, and tests can change its state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

REGION = "us-east-1"


@contextmanager
def moto_server(address: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield the WSGI server at this address and the environment for the AWS client, which also becomes this process's own."""
    server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    server.start()
    url = f"http://{address}:{server.get_host_and_port()[1]}"
    environment = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }
    before = dict(os.environ)
    try:
        os.environ.update(environment)
        urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()
        yield server._server, environment
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()
