"""Import directions: compare the source with the table in docs/internals/decisions/0001-layout.md.

The checks take the root of a tree, so that tests can show them to fail on small trees with one fault.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("agent", "cli", "controller", "deploy", "ext", "lab", "plan", "proto", "results")

# Modules of heyfleet that each layer may import besides itself. The first key that is a prefix of a module's name applies; a
# name includes everything below it. src/heyfleet/*.py, the public Python API, has no limits.
EVERYONE = (
    "heyfleet.__version__",
    "heyfleet.documents",
    "heyfleet.durations",
    "heyfleet.errors",
    "heyfleet.files",
    "heyfleet.mask",
    "heyfleet.private_files",
    "heyfleet.surroundings",
    "heyfleet.text",
    "heyfleet.yaml_documents",
)
PLAN = ("heyfleet.plan", "heyfleet.proto")
HISTOGRAMS = (
    "heyfleet.ext.Histogram",
    "heyfleet.ext.ERROR_NAMES",
    "heyfleet.ext.METRIC_NAMES",
    "heyfleet.ext.add_encoded_all",
)
ALLOWED: dict[str, tuple[str, ...]] = {
    "heyfleet.ext": (),
    "heyfleet.proto": (),
    "heyfleet.lab": EVERYONE,
    "heyfleet.plan": (*EVERYONE, "heyfleet.proto"),
    "heyfleet.agent": (*EVERYONE, *PLAN, "heyfleet.ext"),
    "heyfleet.results": (*EVERYONE, *PLAN, *HISTOGRAMS),
    "heyfleet.deploy": EVERYONE,
    "heyfleet.controller": (*EVERYONE, *PLAN, *HISTOGRAMS, "heyfleet.console", "heyfleet.results"),
    "heyfleet.cli": ("heyfleet",),
}
GRPC_MODULES_AT_MOST = {"agent": 1, "controller": 1}

CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w., ]+))", re.MULTILINE)
CYTHON_INCLUDE = re.compile(r"^\s*include\s+[\"']([^\"']+)[\"']", re.MULTILINE)
CYTHON_EXTERN = re.compile(r"^\s*cdef\s+extern\b", re.MULTILINE)


class Import(NamedTuple):
    """An import statement: the importing module and the full name of what it imports."""

    importer: str
    imported: str
    place: str


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def python_modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of each hand-written module."""
    for path in sorted(root.glob("src/heyfleet/*.py")):
        yield ("heyfleet" if path.stem == "__init__" else f"heyfleet.{path.stem}"), path
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if not path.stem.endswith(("_pb2", "_pb2_grpc")):
                parts = path.relative_to(root).with_suffix("").parts
                yield ".".join(("heyfleet", *parts)).removesuffix(".__init__"), path


def imported_names(node: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Yield the names that a node imports: `from a import b` is a.b, whether b is a module or a name in it."""
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            up = node.level - is_package
            base = module.split(".")[: -up or None] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name


def imports(root: Path) -> Iterator[Import]:
    for module, path in python_modules(root):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            for name in imported_names(node, module, path.stem == "__init__"):
                yield Import(module, name, f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}")


def forbidden_imports(root: Path) -> list[str]:
    """Return each import that the table does not allow."""
    found = []
    for importer, imported, place in imports(root):
        own = next((part for part in ALLOWED if below(importer, part)), None)
        if own is None or not below(imported, "heyfleet") or below(imported, own):
            continue
        if not any(below(imported, allowed) for allowed in ALLOWED[own]):
            found.append(f"{place}: {importer} imports {imported}")
    return found


def surplus_grpc_modules(root: Path) -> list[str]:
    """Return the modules that import grpc, in folders where more do than are allowed."""
    users = sorted({each.importer for each in imports(root) if below(each.imported, "grpc")})
    inside = [module for module in users if any(below(module, f"heyfleet.{folder}") for folder in FOLDERS)]
    counts = Counter(module.split(".")[1] for module in inside)
    return [
        f"{module} imports grpc"
        for module in inside
        if counts[module.split(".")[1]] > GRPC_MODULES_AT_MOST.get(module.split(".")[1], 0)
        or any(below(module, f"heyfleet.controller.{part}") for part in ("report", "export"))
    ]


def import_circles(root: Path) -> list[list[str]]:
    """Return groups of modules that import each other at the top, in a function or under TYPE_CHECKING.

    `heyfleet.__version__` doesn't count: it is a constant above everything else in its module.
    """
    modules = {name for name, _ in python_modules(root)}
    edges: dict[str, set[str]] = {name: set() for name in modules}
    for importer, imported, _ in imports(root):
        target = imported
        while target and target not in modules:
            target = target.rpartition(".")[0]
        if target and target != importer and imported != "heyfleet.__version__":
            edges[importer].add(target)
    reachable = {name: reached_from(name, edges) for name in modules}
    circles = {
        tuple(sorted({other for other in reachable[name] if name in reachable[other]}))
        for name in modules
        if name in reachable[name]
    }
    return sorted(map(list, circles))


def reached_from(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Return all modules that `start` imports, directly or indirectly; itself only if it is in a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = edges[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def engine_faults(root: Path) -> list[str]:
    """Return violations of the extension's rules on included files, extern declarations and imports."""
    folder = root / "ext"
    found = []
    included = Counter(CYTHON_INCLUDE.findall((folder / "_core.pyx").read_text()))
    parts = {str(path.relative_to(folder)) for path in folder.rglob("*.pxi")}
    found += [
        f"_core.pyx includes {name} {included[name]} times, not once" for name in parts if included[name] != 1
    ]
    found += [f"_core.pyx includes {name}, which is not there" for name in included.keys() - parts]
    found += [
        f"{path.name} is a second extension" for path in folder.rglob("*.pyx") if path.name != "_core.pyx"
    ]
    for path in sorted([*folder.rglob("*.pyx"), *folder.rglob("*.pxi"), *folder.rglob("*.pxd")]):
        text = path.read_text()
        if path.suffix == ".pxi" and CYTHON_INCLUDE.search(text):
            found.append(f"{path.name} includes another part; only _core.pyx does")
        if CYTHON_EXTERN.search(text) and not (path.suffix == ".pxd" and path.name.startswith("c_")):
            found.append(f"{path.name} has a cdef extern, which belongs in a c_*.pxd")
        for source, names in CYTHON_IMPORT.findall(text):
            for name in [source] if source else re.split(r"\s*,\s*", names):
                if below(name.split()[0], "heyfleet") and not below(name.split()[0], "heyfleet.ext"):
                    found.append(f"{path.name} imports {name}")
    return sorted(found)


def test_imports_go_only_where_the_table_allows() -> None:
    assert forbidden_imports(ROOT) == []


def test_no_modules_import_each_other() -> None:
    assert import_circles(ROOT) == []


def test_grpc_is_imported_by_one_module_each() -> None:
    assert surplus_grpc_modules(ROOT) == []


def test_the_extension_is_made_of_its_parts_once_each() -> None:
    assert engine_faults(ROOT) == []


def test_the_check_sees_the_whole_tree() -> None:
    seen = {name for name, _ in python_modules(ROOT)}
    assert {"heyfleet", *(f"heyfleet.{folder}" for folder in FOLDERS)} <= seen


def plant(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ext/__init__.py", "from heyfleet.proto import plan_pb2"),
        ("ext/__init__.py", "import heyfleet"),
        ("proto/codec.py", "import heyfleet.ext"),
        ("lab/server.py", "from heyfleet.proto import plan_pb2"),
        ("plan/build.py", "from heyfleet.results import stats"),
        ("deploy/ssh.py", "from heyfleet.agent import session"),
        ("agent/grpc_client.py", "from heyfleet.controller import plan"),
        ("agent/grpc_client.py", "from ..controller import plan"),
        ("agent/__init__.py", "from .. import controller"),
        ("agent/grpc_client.py", "import importlib\nimportlib.import_module('heyfleet.controller')"),
        ("controller/executors/local.py", "def start():\n    from heyfleet.agent import session"),
        ("results/stats.py", "from heyfleet.ext import Engine"),
        ("results/stats.py", "import heyfleet.ext"),
        ("results/stats.py", "from heyfleet import ext"),
        ("results/stats.py", "from heyfleet import *"),
        ("results/report/text.py", "from heyfleet.controller import merger"),
        ("results/report/text.py", "from ...agent.merger import merge"),
        ("results/export/hlog.py", "from heyfleet.controller.fleet import grpc_server"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, name: str, line: str) -> None:
    plant(tmp_path, name, line)
    assert len(forbidden_imports(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "cli/main.py",
            "from heyfleet.agent import local\nfrom heyfleet.controller import command\nimport grpc",
        ),
        ("ext/__init__.py", "from heyfleet.ext._core import ERROR_NAMES"),
        (
            "agent/grpc_client.py",
            "from heyfleet.ext import Engine\nfrom ..proto import plan_pb2\nfrom . import limits",
        ),
        (
            "results/stats.py",
            "from heyfleet.ext import ERROR_NAMES, Histogram\nfrom heyfleet import __version__",
        ),
        ("cli/run.py", "from heyfleet.results.report import hey\nimport heyfleeting"),
        ("results/report/__init__.py", "from .notes import notes\nfrom ..summary import Summary"),
    ],
)
def test_an_allowed_import_is_not(tmp_path: Path, name: str, line: str) -> None:
    plant(tmp_path, name, line)
    assert forbidden_imports(tmp_path) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "plan/a.py", "from heyfleet.plan.b import thing")
    plant(
        tmp_path,
        "plan/b.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from heyfleet.plan import c",
    )
    plant(tmp_path, "plan/c.py", "from heyfleet import __version__\nimport heyfleet.proto.plan_pb2")
    assert import_circles(tmp_path) == []
    plant(tmp_path, "plan/c.py", "def later():\n    from heyfleet.plan.a import other")
    assert import_circles(tmp_path) == [["heyfleet.plan.a", "heyfleet.plan.b", "heyfleet.plan.c"]]


def test_a_second_user_of_grpc_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "agent/grpc_client.py", "import grpc")
    plant(tmp_path, "controller/service.py", "from grpc import aio")
    assert surplus_grpc_modules(tmp_path) == []
    plant(tmp_path, "controller/other.py", "import grpc.aio")
    assert surplus_grpc_modules(tmp_path) == [
        "heyfleet.controller.other imports grpc",
        "heyfleet.controller.service imports grpc",
    ]


@pytest.mark.parametrize(
    "name", ["lab/server.py", "ext/__init__.py", "deploy/ssh.py", "results/report/text.py"]
)
def test_a_user_of_grpc_where_none_may_be_is_found(tmp_path: Path, name: str) -> None:
    plant(tmp_path, name, "import grpc")
    assert len(surplus_grpc_modules(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("_core.pyx", 'include "clock.pxi"\ninclude "clock.pxi"\n', "includes clock.pxi 2 times"),
        ("_core.pyx", "", "includes clock.pxi 0 times"),
        ("_core.pyx", 'include "clock.pxi"\ninclude "gone.pxi"\n', "gone.pxi, which is not there"),
        ("other.pyx", "", "second extension"),
        ("clock.pxi", 'include "consts.pxi"\n', "includes another part"),
        ("clock.pxi", 'cdef extern from "<time.h>" nogil:\n    pass\n', "cdef extern"),
        ("time.pxd", 'cdef extern from "<time.h>" nogil:\n    pass\n', "cdef extern"),
        ("clock.pxi", "from heyfleet.proto cimport fleet\n", "imports heyfleet.proto"),
        ("clock.pxi", "import time, heyfleet.agent\n", "imports heyfleet.agent"),
    ],
)
def test_a_fault_in_the_extension_is_found(tmp_path: Path, name: str, text: str, fault: str) -> None:
    plant(tmp_path, "ext/_core.pyx", 'include "clock.pxi"\n')
    plant(tmp_path, "ext/clock.pxi", "from heyfleet.ext.c_posix cimport timespec\n")
    plant(tmp_path, "ext/c_posix.pxd", 'cdef extern from "<time.h>" nogil:\n    pass\n')
    assert engine_faults(tmp_path) == []
    plant(tmp_path, f"ext/{name}", text)
    found = engine_faults(tmp_path)
    assert len(found) == 1
    assert fault in found[0]
