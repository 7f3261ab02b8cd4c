"""Plan files: the options of `heyfleet run` as YAML, and several requests. Errors name the file, the line and the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from heyfleet.errors import InputError
from heyfleet.files import is_readable_file, read_text_file
from heyfleet.mask import mask_line, mask_text
from heyfleet.plan import url as urls
from heyfleet.plan.octets import to_octets
from heyfleet.plan.option_types import Option
from heyfleet.plan.options import OPTIONS, Text, parse_text, spell_key, suggest
from heyfleet.plan.stages import parse_weight
from heyfleet.plan.values import parse_header, parse_header_value, parse_method, parse_request_name
from heyfleet.yaml_documents import YamlError, check_names, compose_yaml

_OPTIONS_BY_KEY = {key: option for option in OPTIONS for key in option.plan_keys}


class PlanFileError(InputError):
    """A plan file that can't be used: file, line, field and cure."""


@dataclass
class PlanFile:
    """The content of a plan file: texts of options by their fields, and the requests as mappings of parsed values."""

    path: str
    url: str = ""
    texts: dict[str, Text] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)


def load(path: str) -> PlanFile:
    """Read and check a plan file. Raises PlanFileError."""
    return _Loader(path).load()


class _Loader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._folder = Path(path).parent
        self._file = PlanFile(path)
        self._lines: dict[str, int] = {}

    def load(self) -> PlanFile:
        text = read_text_file(self._path, "plan file", error=PlanFileError)
        try:
            root = compose_yaml(text)
        except YamlError as error:
            raise PlanFileError(f"{self._path}:{error.line}: {error.problem}") from None
        if not isinstance(root, yaml.MappingNode):
            raise PlanFileError(f"{self._path}:1: a plan has fields, such as url: http://localhost:8080/")
        for key, line, node in self._fields(root, ""):
            self._add_field(key, line, node)
        if not self._file.url and "targets" not in self._file.texts:
            raise PlanFileError(f"{self._path}: url is missing: where should the requests go?")
        return self._file

    def _error(self, line: int, where: str, text: str) -> PlanFileError:
        return PlanFileError(f"{self._path}:{line}: {where}: {text}")

    def _fields(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, int, yaml.Node]]:
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(line, prefix or "plan", "the name of a field must be a word")
            key = spell_key(key_node.value)
            if key in lines:
                raise self._error(line, f"{prefix}{key}", f"it is there twice, first in line {lines[key]}")
            lines[key] = line
            yield key, line, value

    def _add_field(self, key: str, line: int, node: yaml.Node) -> None:
        if key == "url":
            self._file.url = self._text(key, line, node)
            try:
                urls.parse(self._file.url)
            except ValueError as error:
                raise self._error(line, key, str(error)) from None
        elif key == "requests" and not isinstance(node, yaml.ScalarNode):
            self._add_requests(line, node)
        elif key in _OPTIONS_BY_KEY:
            self._add_option(_OPTIONS_BY_KEY[key], key, line, node)
        else:
            known = ["url", "requests", *_OPTIONS_BY_KEY]
            raise self._error(line, _shown_key(key), f"there is no such field; {suggest(key, known)}")

    # Options.

    def _add_option(self, option: Option, key: str, line: int, node: yaml.Node) -> None:
        if option.field in self._lines:
            first = self._lines[option.field]
            raise self._error(line, key, f"it is there twice under two names, first in line {first}")
        self._lines[option.field] = line
        if option.field == "headers":
            self._file.texts["headers"] = [text for _, text in self._headers(key, node, line)]
            return
        if option.is_list:
            self._file.texts[option.field] = self._list(option, key, line, node)
            return
        if isinstance(node, yaml.SequenceNode) and option.separator:
            text = option.separator.join(self._text(key, _line(item), item) for item in node.value)
        else:
            text = self._text(key, line, node)
        if option.is_input_file:
            text = self._path_beside_plan(key, line, text)
        value = self._parse(option, key, line, text)
        self._file.texts[option.field] = bool(value) if option.is_switch else text

    def _list(self, option: Option, key: str, line: int, node: yaml.Node) -> list[str]:
        if isinstance(node, yaml.MappingNode) and option.pair_separator:
            texts = [
                (at, f"{name}{option.pair_separator}{self._text(f'{key}.{name}', at, value)}")
                for name, at, value in self._fields(node, f"{key}.")
            ]
        else:
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            texts = [(_line(item), self._text(key, _line(item), item)) for item in items]
        for at, text in texts:
            self._parse(option, key, at, text)
        return [text for _, text in texts]

    def _parse(self, option: Option, key: str, line: int, text: str) -> object:
        try:
            return parse_text(option, text, f"{self._path}:{line}: {key}")
        except InputError as error:
            raise PlanFileError(error.cause, error.cure) from None

    def _text(self, key: str, line: int, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(line, key, "it takes one value, not a list or fields")
        if node.tag.endswith(":null"):
            raise self._error(line, key, "it has no value; give one, or leave the line out")
        self._convert(to_octets, key, line, node.value)
        return str(node.value)

    def _headers(self, key: str, node: yaml.Node, line: int) -> list[tuple[tuple[str, str], str]]:
        """Return each header's name and value, and its text as -H takes it."""
        if isinstance(node, yaml.MappingNode):
            try:
                check_names(node)
            except YamlError as error:
                raise self._error(error.line, key, error.problem) from None
            for name, _ in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    raise self._error(_line(name), key, "the name of a header must be a word")
            texts = [
                (_line(name), f"{name.value}: {self._text(f'{key}.{name.value}', _line(name), value)}")
                for name, value in node.value
            ]
        elif isinstance(node, yaml.SequenceNode):
            texts = [(_line(item), self._text(key, line, item)) for item in node.value]
        else:
            raise self._error(line, key, "write them as fields, one on each line: Accept: text/plain")
        return [(self._convert(parse_header, key, at, text), text) for at, text in texts]

    def _path_beside_plan(self, key: str, line: int, text: str) -> str:
        path = self._folder / text
        if not is_readable_file(path):
            raise self._error(line, key, f"there is no file {mask_text(str(path))!r}")
        return str(path)

    def _convert(self, parse: Callable[[str], Any], where: str, line: int, text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise self._error(line, where, str(error)) from None

    # Requests.

    def _add_requests(self, line: int, node: yaml.Node) -> None:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self._error(
                line,
                "requests",
                "it takes a number of requests, or a list of requests, each with '- name: ...'",
            )
        lines: dict[str, int] = {}
        for number, item in enumerate(node.value, 1):
            request = self._request(f"requests[{number}]", _line(item), item)
            name = request["name"]
            if name in lines:
                raise self._error(
                    _line(item),
                    f"requests[{number}].name",
                    f"{mask_text(name)!r} is already the name of the request in line {lines[name]}",
                )
            lines[name] = _line(item)
            self._file.requests.append(request)

    def _request(self, where: str, line: int, node: yaml.Node) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(line, where, "it has no fields, such as path: /login")
        request = {
            key.replace("-", "_"): self._request_field(f"{where}.{key}", key, at, value)
            for key, at, value in self._fields(node, f"{where}.")
        }
        request.setdefault("name", f"{request.get('method', 'GET')} {request.get('path', '/')}")
        if "body" in request and "body_file" in request:
            raise self._error(line, where, "body and body-file exclude each other")
        return request

    def _request_field(self, where: str, key: str, line: int, node: yaml.Node) -> Any:
        if key == "headers":
            return tuple(header for header, _ in self._headers(where, node, line))
        if key == "expect":
            items: Sequence[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else [node]
            texts = [self._text(where, line, item) for item in items]
            return tuple(self._convert(_parse_status_range, where, line, text) for text in texts)
        if key not in REQUEST_FIELDS:
            shown = where.removesuffix(key) + _shown_key(key)
            raise self._error(line, shown, f"there is no such field; {suggest(key, list(REQUEST_FIELDS))}")
        text = self._text(where, line, node)
        if key == "body-file":
            return self._path_beside_plan(where, line, text)
        return self._convert(_REQUEST_PARSERS[key], where, line, text)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shown_key(key: str) -> str:
    """Return an unknown key for an error text; it may be a header with its value."""
    return mask_line(key) if re.search(r"[\s=]", key) else key


def _parse_status_range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d\d)(?:-([1-9]\d\d))?|([1-9])xx", text)
    if match is None:
        raise ValueError(f"{text!r} is not a status like 200, 2xx or 200-299")
    if match[3]:
        return int(match[3]) * 100, int(match[3]) * 100 + 99
    return int(match[1]), int(match[2] or match[1])


# The fields of a request in a plan file, and what the reference page says about each.
REQUEST_FIELDS = {
    "name": "Name of the request in the report and in thresholds. Default: method and path.",
    "weight": "Share of the request in relation to the others, like 3 or 0.5. Default: 1.",
    "method": "Request method. Default: the plan's.",
    "path": 'Path and query. Default: those of `url`. `"*"` with OPTIONS asks about the whole server.',
    "headers": "Headers, as fields or as a list; they replace the plan's headers of the same name.",
    "body": "Request body.",
    "body-file": "File to send as the request body.",
    "content-type": "Content-Type header. Default: the plan's.",
    "expect": "Status codes that count as success: 200, 2xx, 200-299, or a list of these. Default: 100-399.",
}
_REQUEST_PARSERS: dict[str, Callable[[str], Any]] = {
    "name": parse_request_name,
    "weight": parse_weight,
    "method": parse_method,
    "path": urls.parse_request_target,
    "body": str,
    "content-type": parse_header_value,
}
