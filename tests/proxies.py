"""Debian's tinyproxy, which handles one http request per connection and tunnels https."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from .ports import free_port

CONF = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 1000
LogLevel Error
{more}
"""


class Tinyproxy:
    """A running tinyproxy on its own port; `more` is added to its configuration."""

    def __init__(self, folder: Path, more: str = "") -> None:
        binary = shutil.which("tinyproxy")
        if binary is None:
            pytest.fail("this test needs tinyproxy; run apt-get install tinyproxy")
        self.port = free_port()
        conf = folder / f"tinyproxy-{self.port}.conf"
        conf.write_text(CONF.format(port=self.port, more=more))
        self._process = subprocess.Popen([binary, "-d", "-c", str(conf)], stdout=subprocess.DEVNULL)
        while self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("tinyproxy did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
