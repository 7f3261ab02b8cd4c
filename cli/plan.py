"""`heyfleet plan`: check or show a plan without running it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
import yaml

from heyfleet import console
from heyfleet.mask import mask_text
from heyfleet.plan.build import warnings
from heyfleet.plan.options import OPTIONS, Text
from heyfleet.plan.plan_file import PlanFile
from heyfleet.plan.redact import echo, without_secrets
from heyfleet.plan.stages import peak_rate_per_s, stage_ends_ns
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE, USERS, Plan
from heyfleet.text import dump_json
from heyfleet.yaml_documents import YamlError, compose_yaml

Planned = Callable[[list[str]], tuple[Plan, dict[str, Text], PlanFile | None]]


def summary(plan: Plan) -> Iterator[str]:
    """Yield lines that say what a plan amounts to."""
    whole_ns = plan.warmup_ns + plan.duration_ns if plan.duration_ns else 0
    length = f"{whole_ns / 1e9:g} s" if whole_ns else f"{plan.request_count} requests"
    if plan.load_model in (RATE, CONNECTION_RATE):
        yield f"{length}, at most {peak_rate_per_s(plan):g} requests/s over {plan.connections} connections"
    elif plan.load_model == USERS:
        yield f"{length}, at most {plan.connections} users"
    else:
        yield f"{length}, {plan.connections} connections, each sending its next request at once"
    begin_ns = 0
    for stage, end_ns in zip(plan.stages, stage_ends_ns(plan), strict=True):
        until = f"{end_ns / 1e9:g} s" if end_ns else "the end"
        level = f"{stage.first:g}" if stage.first == stage.last else f"{stage.first:g} to {stage.last:g}"
        unit = "users" if plan.load_model == USERS else "requests/s"
        yield f"stage {stage.name}: from {begin_ns / 1e9:g} s to {until}: {level} {unit}"
        begin_ns = end_ns
    if plan.warmup_ns:
        yield f"warm-up: the first {plan.warmup_ns / 1e9:g} s are not part of the results"
    total = sum(request.weight for request in plan.requests)
    for request in plan.requests if len(plan.requests) > 1 else ():
        yield f"request {request.name}: {request.weight} of {total}: {request.method} {mask_text(request.request_target)}"


def plan_yaml(texts: Mapping[str, Text], file: PlanFile | None) -> Iterator[str]:
    """Yield the lines of a plan file with these texts by key, and with the requests of `file`."""
    for key, text in texts.items():
        if isinstance(text, str | bool):
            yield f"{key}: {_scalar(text)}"
        else:
            yield f"{key}:"
            yield from (f"  - {_scalar(item)}" for item in text)
    if file is not None and file.requests:
        yield "requests:"
        for request in file.requests:
            lines = list(_request(request))
            yield f"  - {lines[0]}"
            yield from (f"    {line}" for line in lines[1:])


def _request(request: dict[str, Any]) -> Iterator[str]:
    for name, value in request.items():
        key = name.replace("_", "-")
        if key == "headers":
            yield "headers:"
            yield from (f"  - {_scalar(f'{header}: {text}')}" for header, text in value)
        elif key == "expect":
            ranges = (f"{first}-{last}" if first != last else f"{first}" for first, last in value)
            yield f"expect: [{', '.join(ranges)}]"
        elif key == "weight":
            numerator, denominator = value
            yield f"weight: {numerator / denominator:g}"
        else:
            yield f"{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return a value as YAML, quoted only where YAML would read something else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    try:
        root = compose_yaml(f"key: {text}")
        node = root.value[0][1] if root is not None else None
        same = isinstance(node, yaml.ScalarNode) and node.value == text and not node.tag.endswith(":null")
        plain = same and text.isprintable()
    except YamlError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)


def plan_command(planned: Planned) -> click.Group:
    """Return the command group. `planned` returns the plan, the texts and the plan file of arguments of `run`."""

    @click.group()
    def plan() -> None:
        """Check or show a plan without running it."""

    @plan.command()
    @click.argument("files", nargs=-1, required=True, metavar="FILE...")
    def check(files: tuple[str, ...]) -> None:
        """Check plan files and print what each amounts to. Exit with code 2 if one can't be used."""
        for file in files:
            made, _, _ = planned(["-f", file])
            console.write_lines([f"{file}: good: {'; '.join(summary(made))}"])
            for line in warnings(made):
                console.info(f"{file}: warning: {line}")

    @plan.command(
        context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
        add_help_option=True,
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON with all defaults, as in a report.")
    @click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[flags of run] [URL]")
    def show(as_json: bool, flags: tuple[str, ...]) -> None:
        """Print the plan of these flags as a plan file."""
        made, texts, file = planned(list(flags))
        if as_json:
            console.write_stdout([dump_json(echo(made))])
            return
        console.write_lines(f"# {line}" for line in summary(made))
        if without_secrets(made) != made:
            console.write_lines(
                ["# the values below are not masked, so that the file can be run: keep it private"]
            )
        keys = {option.field: option.plan_key for option in OPTIONS}
        console.write_lines(plan_yaml({keys.get(name, name): text for name, text in texts.items()}, file))

    return plan
