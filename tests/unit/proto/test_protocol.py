"""What is written out of the schema is what the schema says."""

from __future__ import annotations

from heyfleet.proto import control_pb2, protocol


def test_the_paths_of_all_calls() -> None:
    calls = {
        f"/{service.full_name}/{method.name}"
        for service in control_pb2.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert calls == {protocol.JOIN, protocol.ATTACH, protocol.RUN, protocol.COLLECT, protocol.ROSTER}
