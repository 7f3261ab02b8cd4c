"""Engines for tests, from one flat set of keywords."""

from __future__ import annotations

from typing import Any

from heyfleet.ext import ConnectionConfig, Engine, LoadConfig, RecordingConfig, RequestConfig, TargetConfig


def make_engine(*, io: Any = "auto", **fields: Any) -> Engine:
    """Make an engine from the fields of all its configurations."""

    def take(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: fields.pop(name) for name in names if name in fields}

    target = TargetConfig(**take(TargetConfig._fields))
    requests = RequestConfig(**take(RequestConfig._fields))
    connections = ConnectionConfig(**take(ConnectionConfig._fields))
    load = LoadConfig(**take(LoadConfig._fields))
    recording = RecordingConfig(**take(RecordingConfig._fields))
    assert not fields, f"no configuration of an engine has {', '.join(fields)}"
    return Engine(target, requests, connections, load, recording=recording, io=io)
