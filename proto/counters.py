"""The names of all counters, read from the schema, so that a counter is declared there and nowhere else.

To add one: declare it in stats.proto, count it in the engine, show it in a report.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from heyfleet.proto.stats_pb2 import AddressMetrics, Snapshot


def _uint64_fields(message: type[Message]) -> tuple[str, ...]:
    """Return the names of a message's single uint64 fields, in the order of their declaration."""
    return tuple(
        field.name
        for field in message.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_UINT64 and not field.is_repeated
    )


COUNTER_NAMES = tuple(name for name in _uint64_fields(Snapshot) if name != "sequence")
"""The counters of a Snapshot: every uint64 field except its sequence number."""

ADDRESS_COUNTER_NAMES = _uint64_fields(AddressMetrics)
"""The counters of one address of the target."""
