"""Files and documents of people and strangers are read by one reader (heyfleet.files and what builds on it), by no one else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_imports import ROOT, python_modules

READERS = ("heyfleet.files", "heyfleet.documents", "heyfleet.yaml_documents")
# Calls that read a file, or parse a document without limits: names, and attributes by the module or for any object.
FUNCTIONS = frozenset({"open"})
METHODS = frozenset(
    {"open", "read_text", "read_bytes", "load_cert_chain", "load_verify_locations", "fromfile"}
)
PARSERS = {
    "json": frozenset({"load", "loads"}),
    "csv": frozenset({"reader", "DictReader"}),
    "yaml": frozenset({"load", "load_all", "safe_load", "safe_load_all", "compose", "parse", "scan"}),
    "os": frozenset({"fdopen"}),
    "pickle": frozenset({"load", "loads"}),
}
WRITING_MODE = re.compile(r"[wxa]b?")

# Modules that may do it themselves, and why.
KERNEL = "files of the kernel under /proc and /sys, which are short"
PACKAGE = "files of the package"
PRIVATE = "only another process of the same heyfleet wrote what it reads"
ALLOWED = {
    "heyfleet.agent.host.doctor": KERNEL,
    "heyfleet.agent.host.limits": KERNEL,
    "heyfleet.agent.host.monitor": KERNEL,
    "heyfleet.agent.host.sysctl": KERNEL,
    "heyfleet.agent.spool": PRIVATE,
    "heyfleet.api": PRIVATE,
    "heyfleet.cli.api_process": PRIVATE,
    "heyfleet.cli.standard_streams": "it opens /dev/null",
    "heyfleet.controller.run": "it opens an archiver",
    "heyfleet.deploy.ec2.user_data": PACKAGE,
    "heyfleet.deploy.k8s.client": "answers of the API server, and a file of the kubelet, both of which it has to trust",
    "heyfleet.deploy.ssh.host_process": PACKAGE,
    "heyfleet.private_files": "it opens files to write them, with a mode of its own",
    "heyfleet.lab.tls": "ssl takes only files, and it has just written this one",
    "heyfleet.plan.tls": "ssl takes only files; these are in memory, with what the reader returned",
    "heyfleet.results.export.html_page": PACKAGE,
}


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each call that reads a file or parses a document."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[*_, ast.Constant(value=str(mode))]) if WRITING_MODE.fullmatch(mode):
                continue
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if module in PARSERS:
                if name in PARSERS[module] | METHODS:
                    yield node.lineno, f"{module}.{name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                yield node.lineno, f".{name}"


def other_readers(root: Path) -> dict[str, list[str]]:
    """Return the places of such calls by module, without those of the readers."""
    found: dict[str, list[str]] = {}
    for module, path in python_modules(root):
        if module not in READERS:
            places = [
                f"{path.relative_to(root)}:{line}: {text}"
                for line, text in calls(ast.parse(path.read_text()))
            ]
            if places:
                found[module] = places
    return found


def test_no_other_module_reads_files() -> None:
    found = other_readers(ROOT)
    assert {module: places for module, places in found.items() if module not in ALLOWED} == {}
    assert set(ALLOWED) - set(found) == set(), "these no longer need to be allowed"


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "path.read_text()",
        "Path(name).read_bytes()",
        "Path(name).open('rb')",
        "os.open(path, 0)",
        "json.load(file)",
        "json.loads(text)",
        "yaml.safe_load(text)",
        "csv.reader(lines)",
        "context.load_cert_chain(path)",
    ],
)
def test_a_reader_of_its_own_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "other.py").write_text(f"def read(path):\n    return {line}\n")
    assert list(other_readers(tmp_path)) == ["heyfleet.plan.other"]
