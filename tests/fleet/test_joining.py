"""What a holder of a join token can make a controller remember and log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from heyfleet.agent import grpc_client
from heyfleet.agent.credentials import read_token
from heyfleet.agent.errors import DeniedError
from heyfleet.controller.fleet.enrollment import Enrollment
from heyfleet.controller.fleet.grpc_server import Server
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.security.folder import Credentials


def test_refused_joins_leave_short_traces_and_not_many(tmp_path: Path) -> None:
    async def scenario() -> None:
        log: list[str] = []
        registry = AgentRegistry(log=log.append)
        credentials = Credentials.in_memory()
        key, certificate = credentials.authority.server()
        ca = credentials.authority.ca_pem
        enrollment = Enrollment(credentials, registry)
        server = Server(registry, (ca, key, certificate), join=enrollment.join)
        port = await server.start("127.0.0.1:0")
        _, text = credentials.tokens.issue(credentials.authority)
        (tmp_path / "token").write_text(text)
        token = read_token(f"{tmp_path}/token")
        stranger = replace(token, secret="wrong")
        try:
            for name in [f"{number}" + "x" * 15_000_000 for number in range(3)] + [
                f"{n}" for n in range(150)
            ]:
                with pytest.raises(DeniedError, match="the secret of the token is wrong") as caught:
                    await grpc_client.join(f"127.0.0.1:{port}", ca, stranger, name)
                assert len(str(caught.value)) < 500
            assert len(registry.rejections) == 100
            assert sum(map(len, [*registry.rejections, *log])) < 100_000
            agent, _ = await grpc_client.join(f"127.0.0.1:{port}", ca, token, "a" * 1_000_000)
            assert len(agent) <= 45
        finally:
            await server.stop()

    asyncio.run(scenario())
