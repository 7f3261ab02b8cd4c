"""A plan from a YAML file: the flags of `run` under their names, and several requests. Errors name file, line, field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from heyfleet.cli.go_flags import FALSE, TRUE
from heyfleet.errors import InputError
from heyfleet.plan import stages as shapes
from heyfleet.plan import url as target
from heyfleet.plan import values

# Names in a plan file that are not simply those of the flags.
KEYS = {
    "requests": "count",
    "data_file": "data",
    "rate_per_connection": "rate-per-connection",
    "poisson": "arrivals",
    "workers": "cpus",
    "credentials": "user",
    "credentials_folder": "credentials",
    "authorities": "cacert",
    "certificate": "cert",
    "tls_version": "tls",
}
NOT_IN_FILES = ("help", "plan_file", "h2", "url")
FILES = ("body-file", "cacert", "cert", "key", "targets", "data")
LISTED = {"slo": ", ", "abort_on": ", ", "find_max": ", ", "stages": ", ", "sources": ","}


class PlanError(InputError):
    """What is wrong with a plan file: file, line, field, cure."""


@dataclass
class PlanFile:
    """What a file says: texts of flags, by the flags' own names; and the fields of its requests, by theirs."""

    path: str
    given: dict[str, Any] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)


def key_of(param: click.Parameter) -> str:
    """The name of a flag in a plan file; '' if it has none."""
    name = param.name or ""
    if name in NOT_IN_FILES:
        return ""
    return KEYS.get(name, name.removesuffix("_ns").replace("_", "-"))


def load(path: str, params: Mapping[str, click.Parameter]) -> PlanFile:
    """Read and check a file; PlanError. `params`: the flags, by their names in plan files."""
    return _Loader(path, params).load()


class _Loader:
    def __init__(self, path: str, params: Mapping[str, click.Parameter]) -> None:
        self._path = path
        self._folder = Path(path).parent
        self._params = params
        self._file = PlanFile(path)

    def load(self) -> PlanFile:
        try:
            text = Path(self._path).read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PlanError(f"{self._path}: can't be read: {reason}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise PlanError(f"{self._path}:{line}: not YAML: {error.problem or error.context}") from None
        if not isinstance(root, yaml.MappingNode):
            raise PlanError(f"{self._path}:1: a plan has fields, such as url: http://localhost:8080/")
        for key, line, node in self._fields(root, ""):
            self._take(key, line, node)
        if "url" not in self._file.given and "targets" not in self._file.given:
            raise PlanError(f"{self._path}: url is missing; where should the requests go?")
        return self._file

    def _error(self, line: int, name: str, text: str) -> PlanError:
        return PlanError(f"{self._path}:{line}: {name}: {text}")

    def _fields(self, node: yaml.MappingNode, where: str) -> Iterator[tuple[str, int, yaml.Node]]:
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(line, where or "plan", "a field's name is a word")
            key = key_node.value.replace("_", "-")
            if key in seen:
                raise self._error(line, f"{where}{key}", f"it is there twice, first in line {seen[key]}")
            seen[key] = line
            yield key, line, value

    def _take(self, key: str, line: int, node: yaml.Node) -> None:
        if key == "url":
            self._file.given["url"] = (self._text(key, line, node),)
            try:
                target.parse(self._file.given["url"][0])
            except ValueError as error:
                raise self._error(line, key, str(error)) from None
        elif key == "requests":
            self._take_requests(line, node)
        elif key == "headers":
            self._file.given["headers"] = self._headers(key, line, node)
        elif key not in self._params:
            raise self._error(
                line, key, f"there is no such field{self._near(key, ['url', 'requests', *self._params])}"
            )
        else:
            self._take_flag(key, line, node)

    def _near(self, key: str, known: list[str]) -> str:
        from difflib import get_close_matches

        near = get_close_matches(key, known, 1)
        return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"

    def _take_flag(self, key: str, line: int, node: yaml.Node) -> None:
        param = self._params[key]
        name = param.name or ""
        if isinstance(param, click.Option) and param.multiple:
            self._take_several(param, key, line, node)
            return
        if isinstance(node, yaml.SequenceNode) and name in LISTED:
            text = LISTED[name].join(self._text(key, item.start_mark.line + 1, item) for item in node.value)
        else:
            text = self._text(key, line, node)
        if isinstance(param, click.Option) and param.is_flag:
            if text not in TRUE | FALSE:
                raise self._error(line, key, f"{text!r} is neither true nor false")
            self._file.given[name] = text in TRUE
            return
        if key in FILES:
            text = self._beside(key, line, text)
        self._check(param, key, line, text)
        self._file.given[name] = text

    def _take_several(self, param: click.Parameter, key: str, line: int, node: yaml.Node) -> None:
        """A flag that may be repeated: one value, or a list."""
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        texts = [self._text(key, item.start_mark.line + 1, item) for item in items]
        for item, text in zip(items, texts, strict=True):
            self._check(param, key, item.start_mark.line + 1, text)
        self._file.given[param.name or ""] = texts

    def _check(self, param: click.Parameter, key: str, line: int, text: str) -> None:
        try:
            param.type.convert(text, param, None)
        except click.BadParameter as error:
            raise self._error(line, key, error.message) from None

    def _text(self, key: str, line: int, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(line, key, "one value is wanted here, not a list or fields")
        if node.tag.endswith(":null"):
            raise self._error(line, key, "it has no value; give one, or leave the line out")
        return str(node.value)

    def _headers(self, key: str, line: int, node: yaml.Node) -> list[str]:
        if isinstance(node, yaml.MappingNode):
            pairs = [
                (at, f"{name.value}: {self._text(f'{key}.{name.value}', at, value)}")
                for name, value in node.value
                for at in [name.start_mark.line + 1]
            ]
        elif isinstance(node, yaml.SequenceNode):
            pairs = [(item.start_mark.line + 1, self._text(key, line, item)) for item in node.value]
        else:
            raise self._error(line, key, "write them as fields, one below the other: Accept: text/plain")
        for at, text in pairs:
            try:
                values.header(text)
            except ValueError as error:
                raise self._error(at, key, str(error)) from None
        return [text for _, text in pairs]

    def _beside(self, key: str, line: int, text: str) -> str:
        """The path of a file that is named as seen from the plan's folder."""
        path = self._folder / text
        if not path.is_file():
            raise self._error(line, key, f"there is no file {str(path)!r}")
        return str(path)

    # The requests.

    def _take_requests(self, line: int, node: yaml.Node) -> None:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self._error(
                line, "requests", "a list is wanted, each with '- name: ...' (how many to send is `count`)"
            )
        names: dict[str, int] = {}
        for number, item in enumerate(node.value, 1):
            at = item.start_mark.line + 1
            if not isinstance(item, yaml.MappingNode):
                raise self._error(at, f"requests[{number}]", "it has no fields, such as path: /login")
            request = {
                key.replace("-", "_"): self._of_request(f"requests[{number}].{key}", key, line, value)
                for key, line, value in self._fields(item, f"requests[{number}].")
            }
            name = request.setdefault("name", f"{request.get('method', 'GET')} {request.get('path', '/')}")
            if name in names:
                raise self._error(
                    at, f"requests[{number}].name", f"{name!r} is already the request of line {names[name]}"
                )
            names[name] = at
            if "body" in request and "body_file" in request:
                raise self._error(at, f"requests[{number}]", "body and body-file exclude each other")
            self._file.requests.append(request)

    def _of_request(self, where: str, key: str, line: int, node: yaml.Node) -> Any:
        if key == "headers":
            return tuple(values.header(text) for text in self._headers(where, line, node))
        if key == "expect":
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            return tuple(self._status_range(where, line, self._text(where, line, item)) for item in items)
        if key not in _REQUEST_FIELDS:
            raise self._error(line, where, f"there is no such field{self._near(key, [*_REQUEST_FIELDS])}")
        text = self._text(where, line, node)
        if key == "body-file":
            return self._beside(where, line, text)
        try:
            return _REQUEST_FIELDS[key](text)
        except ValueError as error:
            raise self._error(line, where, str(error)) from None

    def _status_range(self, where: str, line: int, text: str) -> tuple[int, int]:
        match = re.fullmatch(r"([1-9]\d\d)(?:-([1-9]\d\d))?|([1-9])xx", text)
        if match is None:
            raise self._error(line, where, f"{text!r} is not a status like 200, 2xx or 200-299")
        if match[3]:
            return int(match[3]) * 100, int(match[3]) * 100 + 99
        return int(match[1]), int(match[2] or match[1])


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} does not begin with /; where to connect is the url's")
    return target.percent_encoded(text)


def _name(text: str) -> str:
    if not text.strip() or re.search(r"[\[\],\x00-\x1f]", text):
        raise ValueError(f"{text!r} is not a name; it has no brackets, commas or line breaks")
    return text.strip()


_REQUEST_FIELDS: dict[str, Any] = {
    "name": _name,
    "weight": shapes.weight,
    "method": values.method,
    "path": _path,
    "headers": None,
    "expect": None,
    "body": str,
    "body-file": str,
    "content-type": values.header_value,
}
