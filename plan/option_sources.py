"""Options from all their sources: keywords or flags, environment variables, a plan file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heyfleet.plan.conflicts import check_options
from heyfleet.plan.options import (
    OPTIONS,
    RunOptions,
    Text,
    environment_texts,
    find_option,
    options_from_texts,
)
from heyfleet.plan.requests import with_request_specs

_NAMES = {option.field: option.name for option in OPTIONS}


def collect_options(url: str, texts: Mapping[str, Text], environ: Mapping[str, str]) -> RunOptions:
    """Return checked, complete options. `texts` by name override `environ`, and that overrides the plan file they name.

    Raises InputError.
    """
    given: dict[str, Text] = {}
    for name, text in texts.items():
        option = find_option(name)
        given[option.name if option else name] = text
    merged = {**_by_name(environment_texts(environ)), **given}
    requests: list[dict[str, Any]] = []
    if path := merged.pop(_NAMES["plan_file"], ""):
        from heyfleet.plan.plan_file import load

        file = load(str(path))
        merged = {**_by_name(file.texts), **merged}
        requests, url = file.requests, url or file.url
    options = options_from_texts(merged, url)
    check_options(options)
    return with_request_specs(options, requests)


def _by_name(texts: Mapping[str, Text]) -> dict[str, Text]:
    return {_NAMES[field]: text for field, text in texts.items()}
