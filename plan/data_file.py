"""Placeholders (--template) and their data (--data, --data-once), checked before anything is sent."""

from __future__ import annotations

import os

from heyfleet.documents import csv_rows
from heyfleet.errors import InputError
from heyfleet.files import MAX_DATA_BYTES, read_text_file
from heyfleet.plan import template
from heyfleet.plan.message_checks import HEADER_BREAKS
from heyfleet.plan.octets import to_octets, to_text
from heyfleet.plan.options import RunOptions
from heyfleet.proto.plan_pb2 import Column, Plan, Request

_MAX_ROWS = 10_000_000
_MAX_NAME_SHOWN = 20


def add_template(plan: Plan, options: RunOptions) -> None:
    """Turn on the placeholders of a plan, and add the columns that they name. Raises InputError."""
    if not options.template:
        if options.data_file or options.data_once:
            raise InputError(
                f"{'--data' if options.data_file else '--data-once'} needs placeholders", "add --template"
            )
        return
    plan.template = True
    for request in plan.requests:
        request.request_target = template.with_column_names(request.request_target)
    columns = _referenced_columns(plan)
    if options.seed is None and _is_random(plan):
        plan.seed = int.from_bytes(os.urandom(4))  # so that the next run draws other values
    if not options.data_file:
        if columns:
            raise InputError(
                f"{{csv:{min(columns)}}} takes its values from a file with that column", "name it with --data"
            )
        if options.data_once:
            raise InputError("--data-once needs rows to use", "name their file with --data")
        return
    plan.data.extend(_read_columns(options.data_file, columns))
    if options.data_once:
        _limit_to_rows(plan, options)


def _referenced_columns(plan: Plan) -> dict[str, bool]:
    """Return the columns that placeholders name, and whether one of them stands in a header, which has one line."""
    columns: dict[str, bool] = {}
    for request in plan.requests:
        try:
            for text, one_line in _texts(request):
                for value in template.values(text):
                    if value.kind == "csv":
                        columns[value.column] = columns.get(value.column, False) or one_line
        except template.TemplateError as error:
            raise InputError(f"--template: {request.name}: {error}") from None
    return columns


def _is_random(plan: Plan) -> bool:
    return any(
        value.kind in {"rand", "uuid"}
        for request in plan.requests
        for text, _ in _texts(request)
        for value in template.values(text)
    )


def _texts(request: Request) -> list[tuple[str, bool]]:
    headers = [(header.value, True) for header in request.headers]
    return [(request.request_target, False), *headers, (to_text(request.body), False)]


def _read_columns(path: str, referenced: dict[str, bool]) -> list[Column]:
    text = read_text_file(path, "--data", MAX_DATA_BYTES, undecodable="surrogateescape")
    try:
        rows = csv_rows(text, strict=True)
        _, names = next(rows, (0, []))
        columns = _choose_columns(path, names, referenced)
        values: dict[str, list[str]] = {name: [] for name in columns}
        for number, (_, row) in enumerate(rows, 2):
            _check_row(number, row, names)
            for name, index in columns.items():
                if referenced.get(name) and HEADER_BREAKS.search(row[index]):
                    raise ValueError(f"row {number}: {name}: a header can't hold a line break")
                values[name].append(row[index])
    except ValueError as error:
        raise InputError(f"--data: {path}: {error}") from None
    if not any(values.values()):
        raise InputError(f"--data: {path}: it needs a first row with column names, and rows below it")
    return [_column(name, column) for name, column in values.items()]


def _choose_columns(path: str, names: list[str], referenced: dict[str, bool]) -> dict[str, int]:
    """Return the indices of the columns to read: those that placeholders name, or else the first, which counts rows."""
    for name in referenced:
        if names and name not in names:
            # Without a row of names, the first row has values, which may be secret.
            known = ", ".join(each if len(each) <= _MAX_NAME_SHOWN else "..." for each in names)
            raise InputError(f"{{csv:{name}}}: {path} has no such column", f"known are {known}")
    return {name: names.index(name) for name in referenced or names[:1]} if names else {}


def _check_row(number: int, row: list[str], names: list[str]) -> None:
    if len(row) != len(names):
        raise ValueError(f"row {number} has {len(row)} values, but the first row has {len(names)} names")
    if number > _MAX_ROWS:  # the first row included
        raise ValueError(f"it has more than {_MAX_ROWS} rows; use a part of it")


def _column(name: str, values: list[str]) -> Column:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"--data: the name of the column {name!r} is not UTF-8", "save the file as UTF-8"
        ) from None
    return Column(name=name, values=[to_octets(value) for value in values])


def _limit_to_rows(plan: Plan, options: RunOptions) -> None:
    """Limit the plan to one request for each row."""
    rows = len(plan.data[0].values)
    if plan.warmup_ns:
        raise InputError("--data-once and --warmup exclude each other: the warm-up would use rows up")
    if options.requests is not None and options.requests > rows:
        raise InputError(
            f"-n {options.requests}: with --data-once there are only the {rows} rows of {options.data_file}"
        )
    plan.request_count = options.requests or rows
    plan.connections = min(plan.connections, plan.request_count)
