"""Build the extension module and the protobuf modules; everything else is in pyproject.toml.

Environment variables:
  HEYFLEET_SANITIZE=address,undefined   compile with these sanitizers of gcc or clang
  HEYFLEET_BUILD=build/strict           write generated C there instead of the folder of the normal build
  HEYFLEET_ABI3=1                       compile for Python 3.11 and all later versions (`make wheel`)
  HEYFLEET_NATIVE=0                     build neither; `make` does that while it installs the rest
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

os.chdir(Path(__file__).parent)
PACKAGE = Path("src/heyfleet")  # in a checkout: links to the top-level folders
SANITIZERS = os.environ.get("HEYFLEET_SANITIZE")
ABI3 = os.environ.get("HEYFLEET_ABI3") == "1"
BUILD = Path(os.environ.get("HEYFLEET_BUILD") or ("build/sanitize" if SANITIZERS else "build"))


def generate_proto() -> None:
    """Generate x_pb2.py and x_pb2.pyi beside each x.proto, where they are missing or older."""
    folder = PACKAGE / "proto"
    stale = [
        source
        for source in folder.glob("*.proto")
        if not (out := source.with_name(f"{source.stem}_pb2.py")).exists()
        or out.stat().st_mtime < source.stat().st_mtime
    ]
    if not stale:
        return
    with tempfile.TemporaryDirectory() as out_folder:
        # The virtual root heyfleet/proto makes the output import from heyfleet.proto.
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-Iheyfleet/proto={folder}"),
            *(f"--python_out={out_folder}", f"--pyi_out={out_folder}"),
            *(f"heyfleet/proto/{source.name}" for source in stale),
        ]
        subprocess.run(command, check=True)
        for generated in Path(out_folder, "heyfleet/proto").iterdir():
            shutil.copyfile(generated, folder / generated.name)


def generate_counters() -> None:
    """Write the engine's counters, a struct and the tuple of its names, from the uint64 fields of Snapshot in the schema."""
    schema = (PACKAGE / "proto/stats.proto").read_text()
    fields = re.search(r"^message Snapshot \{$(.*?)^\}$", schema, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^  uint64 (\w+) = ", fields[1] if fields else "", re.MULTILINE)
    names.remove("sequence")
    text = (
        "# Made by setup.py from proto/stats.proto, where a counter is declared.\n\ncdef struct Counters:\n"
    )
    text += "".join(f"    uint64_t {name}\n" for name in names)
    text += "\nCOUNTER_NAMES = (\n" + "".join(f'    "{name}",\n' for name in names) + ")\n"
    path = PACKAGE / "ext/engine/counters.pxi"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def extension() -> Extension:
    """Describe the extension module; _core.pyx includes all its source files."""
    if SANITIZERS:
        flag = f"-fsanitize={SANITIZERS}"
        # libubsan is linked statically, because of two shared runtimes only one writes to the log file. A fuzzer links
        # nothing: libFuzzer, which loads the module, contains the runtimes.
        link = [] if "fuzzer" in SANITIZERS else [flag, "-static-libubsan", "-Wl,-Bsymbolic"]
        compile_ = [flag, "-fno-sanitize-recover=undefined", "-O1", "-fno-omit-frame-pointer"]
    else:
        link = []
        compile_ = ["-O3"]
    folder = PACKAGE / "ext"
    return Extension(
        "heyfleet.ext._core",
        [str(folder / "_core.pyx")],
        depends=sorted(str(part) for suffix in ("pxi", "pxd", "h") for part in folder.rglob(f"*.{suffix}")),
        libraries=["uring", "ssl", "crypto", "z", "brotlidec", "zstd"],
        extra_compile_args=[*compile_, "-g", "-Wall", "-Wextra", "-Wno-unused-parameter"],
        extra_link_args=link,
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
        py_limited_api=ABI3,
    )


def native_modules() -> list[Extension]:
    """Translate the extension to C."""
    modules: list[Extension] = cythonize(
        [extension()],
        include_path=["src"],  # heyfleet itself need not be installed yet
        build_dir=str(BUILD / "cython"),
        emit_linenums=bool(SANITIZERS),  # a sanitizer's report then names the line of the .pxi
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": False,
        },
    )
    return modules


if os.environ.get("HEYFLEET_NATIVE") == "0":
    setup()
else:
    generate_proto()
    generate_counters()
    setup(
        ext_modules=native_modules(),
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
    )
