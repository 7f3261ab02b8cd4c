"""Bounds of what agents send, checked once when it arrives. Snapshots have checks of their own, in results/snapshot_check.py.

A host's name or the text of an error may be long, so texts are shortened. No number of an honest agent comes near the
bound, so a message with a larger one is refused. The rules hold for all fields, also for those that will be added.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from heyfleet.errors import HeyfleetError
from heyfleet.proto.control_pb2 import Hello
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.text import shorten

_Message = TypeVar("_Message", bound=Message)

_LIST_LENGTH = 1024
_BYTES_LENGTH = 1 << 16
_MAX_NUMBER = 1 << 62  # sums and differences of two stay within 64 bits
_LEFT_AS_THEY_ARE = (Assignment.DESCRIPTOR, Snapshot.DESCRIPTOR)


class InvalidMessageError(HeyfleetError):
    """A message that no honest agent sends."""


def bound(message: Message) -> None:
    """Shorten the texts of a message, also of those within it. Raises InvalidMessageError for a number or a list.

    Fields that this version does not know are dropped. Assignments, which agents send back, stay as they are: a share that
    was changed would not fit its seal.
    """
    if not isinstance(message, Hello):
        message.DiscardUnknownFields()
    elif message.HasField("facts"):
        message.facts.DiscardUnknownFields()
    _bound_fields(message)


def compact(message: _Message) -> _Message:
    """Return a copy to keep, without the memory of the larger message that it came in."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _bound_fields(message: Message) -> None:
    for field, value in message.ListFields():
        if field.message_type in _LEFT_AS_THEY_ARE:
            continue
        if field.is_repeated:
            _bound_list(field, value)
        elif field.message_type is not None:
            _bound_fields(value)
        elif (bounded := _bounded(field.name, value)) is not value:
            setattr(message, field.name, bounded)


def _bound_list(field: FieldDescriptor, values: Any) -> None:
    if len(values) > _LIST_LENGTH:
        raise InvalidMessageError(f"it has {len(values)} {field.name}, and {_LIST_LENGTH} are the most")
    if field.message_type is None:
        values[:] = [_bounded(field.name, value) for value in values]
    elif field.message_type.GetOptions().map_entry:
        for key, value in list(values.items()):
            if _bounded(field.name, key) != key:
                raise InvalidMessageError(f"its {field.name} have a name of {len(key)} characters")
            if isinstance(value, Message):
                _bound_fields(value)
            else:
                values[key] = _bounded(field.name, value)
    else:
        for value in values:
            _bound_fields(value)


def _bounded(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, bytes) and len(value) > _BYTES_LENGTH:
        raise InvalidMessageError(f"its {name} has {len(value)} bytes, and {_BYTES_LENGTH} are the most")
    if isinstance(value, int) and abs(value) > _MAX_NUMBER:
        raise InvalidMessageError(f"its {name} is {value}, and no such number can be right")
    return value
