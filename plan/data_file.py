"""What --template, --data and --data-once say, read and checked before anything is sent."""

from __future__ import annotations

import csv
import io
import os
import re
from typing import TYPE_CHECKING

from heyfleet.errors import InputError
from heyfleet.plan import template as templates
from heyfleet.plan.requests import read_file
from heyfleet.proto.plan_pb2 import Column, Plan, Request

if TYPE_CHECKING:
    from heyfleet.plan.build import Flags

# What would end a header, and begin another.
_BREAKS = re.compile(r"[\r\n\0]")


def take_template(plan: Plan, flags: Flags) -> None:
    """Put placeholders and their data into a plan; InputError."""
    if not flags.template:
        if flags.data_file or flags.data_once:
            raise InputError(
                f"{'--data' if flags.data_file else '--data-once'} is for placeholders: add --template"
            )
        return
    plan.template = True
    wanted = _wanted(plan)
    if flags.seed is None and _is_random(plan):
        plan.seed = int.from_bytes(os.urandom(4))  # another run has other values
    if not flags.data_file:
        if wanted:
            raise InputError(
                f"{{csv:{min(wanted)}}} takes its values from a file with that column: name it with --data"
            )
        if flags.data_once:
            raise InputError("--data-once is about the rows of a file: name it with --data")
        return
    plan.data.extend(_columns(flags.data_file, wanted))
    if flags.data_once:
        _once(plan, flags)


def _wanted(plan: Plan) -> dict[str, bool]:
    """The columns that are named; whether in a place that takes one line only."""
    wanted: dict[str, bool] = {}
    for request in plan.requests:
        try:
            for text, one_line in _texts(request):
                for value in templates.values(text):
                    if value.kind == "csv":
                        wanted[value.column] = wanted.get(value.column, False) or one_line
        except templates.TemplateError as error:
            raise InputError(f"--template: {request.name}: {error}") from None
    return wanted


def _is_random(plan: Plan) -> bool:
    return any(
        value.kind in {"rand", "uuid"}
        for request in plan.requests
        for text, _ in _texts(request)
        for value in templates.values(text)
    )


def _texts(request: Request) -> list[tuple[str, bool]]:
    headers = [(header.value, True) for header in request.headers]
    return [(request.request_target, False), *headers, (request.body.decode("latin-1"), False)]


def _columns(path: str, wanted: dict[str, bool]) -> list[Column]:
    text = read_file(path, "--data").decode("utf-8-sig", "surrogateescape")
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise InputError(f"--data: {path}: not CSV: {error}") from None
    if len(rows) < 2:
        raise InputError(f"--data: {path}: a first row with the columns' names is wanted, and rows below it")
    names, *rows = rows
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise InputError(
                f"--data: {path}: row {number} has {len(row)} values, the first row names {len(names)}"
            )
    made = []
    for name, one_line in wanted.items():
        if name not in names:
            raise InputError(f"{{csv:{name}}}: {path} has no such column; there are {', '.join(names)}")
        values = [row[names.index(name)] for row in rows]
        for number, value in enumerate(values, 2):
            if one_line and _BREAKS.search(value):
                raise InputError(f"--data: {path}: row {number}: {name}: a header can't hold a line break")
        made.append(Column(name=name, values=[value.encode("utf-8", "surrogateescape") for value in values]))
    return made or [Column(name=names[0], values=[row[0].encode("utf-8", "surrogateescape") for row in rows])]


def _once(plan: Plan, flags: Flags) -> None:
    """As many requests as there are rows, at most."""
    rows = len(plan.data[0].values)
    if plan.warmup_ns:
        raise InputError("--data-once and --warmup exclude each other: a warm-up would use rows up")
    if flags.requests is not None and flags.requests > rows:
        raise InputError(
            f"-n {flags.requests}: with --data-once there are only the {rows} rows of {flags.data_file}"
        )
    plan.request_count = flags.requests or rows
    plan.connections = min(plan.connections, plan.request_count)
