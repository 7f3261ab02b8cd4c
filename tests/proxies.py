"""Debian's tinyproxy, which answers a request a connection over http, and tunnels for https."""

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
    """One that runs on a port of its own; `more` is put into its configuration."""

    def __init__(self, folder: Path, more: str = "") -> None:
        binary = shutil.which("tinyproxy")
        if binary is None:
            pytest.fail("tinyproxy is needed for this test: apt-get install tinyproxy")
        self.port = free_port()
        conf = folder / f"tinyproxy-{self.port}.conf"
        conf.write_text(CONF.format(port=self.port, more=more))
        self._process = subprocess.Popen([binary, "-d", "-c", str(conf)], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, "tinyproxy did not start"
                time.sleep(0.02)
            else:
                return
        self.stop()
        pytest.fail("tinyproxy did not listen")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
