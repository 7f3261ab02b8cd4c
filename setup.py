"""The native module and the generated protobuf code; everything else is in pyproject.toml.

Switches, from the environment:
  HEYFLEET_SANITIZE=address,undefined   build the extension with these sanitizers of gcc or clang
  HEYFLEET_BUILD=build/strict           keep the generated C there, apart from that of the normal build
  HEYFLEET_ABI3=1                       build one for Python 3.11 and all later ones (`make wheel`)
  HEYFLEET_NATIVE=0                     leave both out: `make` builds them after it has installed the rest
"""

from __future__ import annotations

import os
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
    """Make x_pb2.py and x_pb2.pyi beside each x.proto, where missing or older than it."""
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
        for made in Path(out_folder, "heyfleet/proto").iterdir():
            shutil.copyfile(made, folder / made.name)


def extension() -> Extension:
    """The one extension module; every part of it is included by _core.pyx."""
    if SANITIZERS:
        flag = f"-fsanitize={SANITIZERS}"
        # Its own copy of libubsan: with two shared runtimes, only one would write to the log file. For fuzzers nothing is
        # linked: libFuzzer is in the process, and brings the runtimes.
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
    """The extension, translated to C."""
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
    setup(
        ext_modules=native_modules(),
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
    )
