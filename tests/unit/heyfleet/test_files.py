"""The reader of files: what it takes, what it refuses, and that it never waits for a writer that does not come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from heyfleet import files
from heyfleet.encodings import decode
from heyfleet.errors import InputError
from heyfleet.files import open_file, read_file, read_text_file

LIMIT_BYTES = 1000


class OtherError(InputError):
    """An error of a caller."""


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * LIMIT_BYTES)
    assert read_file(path, "-D", LIMIT_BYTES) == b"x" * LIMIT_BYTES
    path.write_bytes(b"x" * (LIMIT_BYTES + 1))
    with pytest.raises(OtherError, match=r"-D: .*file' is larger than"):
        read_file(path, "-D", LIMIT_BYTES, error=OtherError)


def test_the_bytes_of_a_file_without_a_size_are_bounded() -> None:
    # Files under /proc report a size of 0.
    with pytest.raises(InputError, match="is larger than"):
        read_file("/proc/self/maps", "-D", 10)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dev/zero", "'/dev/zero': it is a device; name a regular file"),
        ("/dev/tty", "/dev/tty"),
        ("/dev/full", "'/dev/full': it is a device"),
        ("/", "'/': it is a directory"),
        ("/nowhere/at/all", "'/nowhere/at/all': No such file or directory"),
        ("a\0b", "embedded null byte"),
        ("", "No such file"),
    ],
)
def test_what_is_no_file_is_refused(path: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_file(path, "--cacert")
    assert str(caught.value).startswith("--cacert: can't read ")
    assert words in str(caught.value)


def test_the_null_device_is_an_empty_file() -> None:
    assert read_file("/dev/null", "-D") == b""


def test_a_socket_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(InputError, match="can't read"):
            read_file(tmp_path / "socket", "-D")


def test_a_pipe_without_a_writer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITER_WAIT_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        InputError, match=r"nothing opened this pipe for writing within 0\.1 s; start the command"
    ):
        read_file(tmp_path / "pipe", "-D")


def test_a_pipe_is_read_until_its_writer_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The writer opens the pipe, and writes only when the time to wait for a writer is over.
    monkeypatch.setattr(files, "WRITER_WAIT_S", 0.0)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer_end = os.open(path, os.O_WRONLY)

    def write() -> None:
        os.write(writer_end, b"late")
        os.close(writer_end)

    threading.Timer(0.3, write).start()
    assert read_file(path, "-D") == b"late"
    os.close(reader_end)


def test_an_endless_pipe_is_bounded() -> None:
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as endless:
        assert endless.stdout is not None
        with pytest.raises(InputError, match="is larger than"):
            read_file(f"/dev/fd/{endless.stdout.fileno()}", "-D", LIMIT_BYTES)
        endless.kill()


def test_an_empty_process_substitution_is_an_empty_file() -> None:
    reader_end, writer_end = os.pipe()
    os.close(writer_end)
    assert read_file(f"/dev/fd/{reader_end}", "-D") == b""
    os.close(reader_end)


def stream(path: Path) -> bytes:
    with open_file(path, "run.pb") as file:
        return file.read()


@pytest.mark.parametrize("read", [lambda path: read_file(path, "run.pb", pipes=False), stream])
def test_a_pipe_is_refused_where_none_belongs(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is a pipe; name a regular file"):
        read(tmp_path / "pipe")


def test_a_file_is_streamed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert stream(tmp_path / "file") == b"abc"


def run_with_input(code: str, content: bytes) -> str:
    program = f"from heyfleet.files import read_file, read_text_file\n{code}"
    done = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


def test_a_dash_is_standard_input() -> None:
    assert "b'abc'" in run_with_input("print(read_file('-', '-D'))", b"abc")


def test_standard_input_is_limited() -> None:
    assert "-D: standard input is larger than" in run_with_input("read_file('-', '-D', 2)", b"abc")


def test_a_plan_that_is_made_again_gets_the_same_input_again() -> None:
    assert "b'abcabc'" in run_with_input("print(read_file('-', '-D') + read_file('-', '-D'))", b"abc")


def test_standard_input_is_not_shared_by_two_options() -> None:
    said = run_with_input("read_file('-', '--targets'), read_file('-', '--data')", b"abc")
    assert "--data: --targets has already read standard input; give one of the two a file" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "file").write_bytes("Grüße\n".encode(encoding))
    assert read_text_file(tmp_path / "file", "-f") == "Grüße\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\nb\xff", "is not text in UTF-8: line 2; save it as UTF-8"),
        (b"a\n\nb\0", "is not text: line 3 has a NUL byte"),
        (b"\xff\xfea\0\n\0\0\xd8", "is not text in UTF-16-LE"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_text_file(tmp_path / "file", "-f")
    assert words in str(caught.value)


def test_other_bytes_pass_where_the_caller_wants_them() -> None:
    assert decode(b"\xff\0", "surrogateescape").encode("utf-8", "surrogateescape") == b"\xff\0"


@pytest.mark.parametrize(
    "content",
    ['{"password": "s3cret"}', "<password>s3cret</password>", "-----BEGIN PRIVATE KEY-----\ns3cret\n"],
)
def test_content_in_place_of_a_name_is_not_shown(content: str) -> None:
    with pytest.raises(InputError, match=r"^--key: can't read a file named by a text of \d+ characters"):
        read_file(content, "--key")
