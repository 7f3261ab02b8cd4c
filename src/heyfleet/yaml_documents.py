"""YAML of people and strangers, with limits that are checked while it is read, and one error that has a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from heyfleet.documents import MAX_DEPTH

# Nodes with all aliases written out, where a long scalar counts as several. Aliases of aliases grow without limit.
_MAX_NODES = 1_000_000
_CHARACTERS_PER_NODE = 100


class YamlError(ValueError):
    """A YAML text that can't be used: the line, and what is wrong there."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(line, problem)
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the root node of a YAML text, which knows its lines; None if the text is empty. Raises YamlError.

    Names that are there twice are left to the caller, who knows which names mean the same.
    """
    with _yaml_errors(text):
        return _BoundedLoader(text, unique_names=False).get_single_node()


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text. Raises YamlError."""
    with _yaml_errors(text):
        return _BoundedLoader(text, unique_names=True).get_single_data()


@contextmanager
def _yaml_errors(text: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # A value that begins with * or ! is quoted in the error as an alias or a tag, and may be a secret.
        problem = re.sub(
            r"\b(alias|tag handle) .*", r"\1; quote the value", str(error.problem or error.context)
        )
        raise YamlError(line, f"not YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(line, "not YAML: it has a control character") from None


class _BoundedLoader(yaml.SafeLoader):
    def __init__(self, text: str, *, unique_names: bool) -> None:
        super().__init__(text)
        self._unique_names = unique_names
        self._depth = 0
        self._nodes = 0
        self._nodes_below: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        line = int(self.peek_event().start_mark.line) + 1  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._nodes_below:
                raise YamlError(line, "an alias stands within what it stands for")
            self._count(line, self._nodes_below[id(node)])
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise YamlError(line, f"it nests deeper than {MAX_DEPTH} levels")
        before = self._nodes
        node = super().compose_node(parent, index)
        self._count(
            line, 1 + len(node.value) // _CHARACTERS_PER_NODE if isinstance(node, yaml.ScalarNode) else 1
        )
        if self._unique_names and isinstance(node, yaml.MappingNode):
            check_names(node)
        self._nodes_below[id(node)] = self._nodes - before
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except YamlError:
            raise
        except ValueError as error:  # a date such as 2026-13-45, a number with thousands of digits
            reason = str(error).partition(";")[0]
            raise YamlError(node.start_mark.line + 1, f"a value can't be used: {reason}") from None

    def _count(self, line: int, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            raise YamlError(line, "it is too large once its aliases are written out")


def check_names(node: yaml.MappingNode) -> None:
    """Check that no name is there twice, as `load_yaml` does everywhere. Raises YamlError."""
    lines: dict[str, int] = {}
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode):
            continue
        line = name.start_mark.line + 1
        if name.value in lines:
            raise YamlError(line, f"{name.value}: it is there twice, first in line {lines[name.value]}")
        lines[name.value] = line
