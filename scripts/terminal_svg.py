"""Record commands in a pseudo-terminal and write them as an animated SVG: docs/pictures/terminal.svg.

    python scripts/terminal_svg.py            # run the commands below, against `heyfleet lab faulty` on port 8080

The output and its timing are real; pauses without output are shortened. The SVG needs no script: CSS shows each line
when it was printed and scrolls the screen. A viewer that prefers no motion sees the end.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from html import escape
from pathlib import Path
from termios import TIOCSWINSZ

OUTPUT = Path(__file__).parent.parent / "docs" / "pictures" / "terminal.svg"
COLUMNS, ROWS = 96, 30
FONT_PX, LINE_PX, MARGIN_PX, TITLE_PX = 13, 17, 14, 28
CHARACTER_PX = 7.83
TYPING_S, PAUSE_AT_MOST_S, END_S = 0.045, 0.6, 5.0
TYPED_AT_ONCE = 3  # characters

SLOW = "http://localhost:8080/ok?delay=2ms&jitter=3ms&tail=2%25/40ms"
TARGET = "heyfleet lab faulty &"
# Each command, and for how long its output is shown before the next is typed.
COMMANDS = (
    ("heyfleet run -n 10000 -c 50 --out before 'http://localhost:8080/ok?delay=2ms&jitter=3ms'", 1.2),
    (f"heyfleet run -n 10000 -c 50 --out after \\\n    '{SLOW}'", 3.0),
    ("heyfleet compare before after", END_S),
)

CONTROL = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|\x1b[=>]")
STYLES = (
    (re.compile(r"^\$ "), "prompt"),
    (re.compile(r"^ +'http"), "prompt"),
    (re.compile(r"^Trust: good|^p\d+ .*(?:rose|fell)"), "good"),
    (re.compile(r"^Trust:"), "bad"),
    (re.compile(r"^[A-Z][\w -]*(?:\(.*\))?:$"), "head"),
    (re.compile(r"■"), "bar"),
)


@dataclass
class Screen:
    """Lines of unlimited scrollback; every change of a line is kept with its time."""

    versions: list[list[tuple[float, str]]] = field(default_factory=lambda: [[]])
    column: int = 0

    def write(self, text: str, at_s: float) -> None:
        """Print text at the cursor; knows carriage return, newline, tab and erasing, and drops colors."""
        position = 0
        changed = {len(self.versions) - 1: self.line}
        while position < len(text):
            control = CONTROL.match(text, position)
            if control:
                if control[2] == "K":
                    changed[len(self.versions) - 1] = self._current(changed)[: self.column]
                position = control.end()
                continue
            character = text[position]
            position += 1
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self._begin_line(changed)
            else:
                if self.column >= COLUMNS:
                    self._begin_line(changed)
                width = 8 - self.column % 8 if character == "\t" else 1
                old = self._current(changed).ljust(self.column)
                new = " " * width if character == "\t" else character
                changed[len(self.versions) - 1] = old[: self.column] + new + old[self.column + width :]
                self.column += width
        for number, line in changed.items():
            if not self.versions[number] or self.versions[number][-1][1] != line:
                self.versions[number].append((at_s, line))

    @property
    def line(self) -> str:
        """The last line as it is now."""
        return self.versions[-1][-1][1] if self.versions[-1] else ""

    def _begin_line(self, changed: dict[int, str]) -> None:
        self.versions.append([])
        self.column = 0
        changed[len(self.versions) - 1] = ""

    def _current(self, changed: dict[int, str]) -> str:
        return changed[len(self.versions) - 1]


def record(command: str, folder: Path, screen: Screen, now_s: float) -> float:
    """Type and run a command, print what it prints, and return the time at its end."""
    shown = f"$ {command}"
    for end in range(2, len(shown) + TYPED_AT_ONCE, TYPED_AT_ONCE):
        begin = max(end - TYPED_AT_ONCE, 0)
        screen.write(shown[begin:end] if begin else shown[:end], now_s)
        now_s += TYPING_S
    screen.write("\n", now_s)
    process, terminal = spawn(command, folder)
    last_s = time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        data = b""
        with suppress(OSError):  # the other end of a pseudo-terminal closes with an error
            data = os.read(terminal, 65536) if ready else b""
        if not data:
            break
        now_s += min(time.monotonic() - last_s, PAUSE_AT_MOST_S)
        last_s = time.monotonic()
        screen.write(data.decode(errors="replace").replace("\r\n", "\n"), now_s)
    os.close(terminal)
    if process.wait(timeout=60):
        raise SystemExit(f"{command}: exit code {process.returncode}\n{screen.line}")
    return now_s


def spawn(command: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command on a new pseudo-terminal, of which the caller's end is returned."""
    terminal, other = pty.openpty()
    ioctl(other, TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["/bin/bash", "-c", command],
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    return process, terminal


def style_of(line: str) -> str:
    """The CSS class of a line."""
    return next((f' class="{name}"' for pattern, name in STYLES if pattern.search(line)), "")


def svg(versions: Sequence[Sequence[tuple[float, str]]], total_s: float) -> str:
    """Draw all versions of all lines below each other, with the animations that show and scroll them."""
    rules, texts, scrolls = [], [], {0.0: 0}
    names: dict[tuple[float, float], str] = {}
    for number, line in enumerate(versions):
        for index, (from_s, text) in enumerate(line):
            is_last = index == len(line) - 1
            to_s = total_s if is_last else line[index + 1][0]
            scrolls[from_s] = max(number - ROWS + 1, 0)
            if not text.strip() or (to_s - from_s) < 1e-6:
                continue
            if (from_s, to_s) not in names:
                names[from_s, to_s] = f"k{len(names)}"
                end = "" if is_last else f"{to_s / total_s:.3%}{{visibility:hidden}}"
                rules.append(
                    f"@keyframes {names[from_s, to_s]}{{0%{{visibility:hidden}}"
                    f"{from_s / total_s:.3%}{{visibility:visible}}{end}}}"
                )
            y = MARGIN_PX + TITLE_PX + FONT_PX + number * LINE_PX
            hidden = "" if is_last else ";visibility:hidden"
            texts.append(
                f'<text x="{MARGIN_PX}" y="{y}"{style_of(text)}'
                f' style="animation-name:{names[from_s, to_s]}{hidden}">{escape(text.rstrip())}</text>'
            )
    steps, last = [], -1
    for at_s, rows in sorted(scrolls.items()):
        if rows > last:
            steps.append(f"{at_s / total_s:.3%}{{transform:translateY({-rows * LINE_PX}px)}}")
            last = rows
    rules.append(f"@keyframes scroll{{{''.join(steps)}}}")
    return page("\n".join(texts), "".join(rules), total_s, last * LINE_PX)


def page(texts: str, rules: str, total_s: float, scrolled_px: int) -> str:
    """Put the lines into a window."""
    width = round(COLUMNS * CHARACTER_PX) + 2 * MARGIN_PX
    height = ROWS * LINE_PX + TITLE_PX + 2 * MARGIN_PX
    top = TITLE_PX + MARGIN_PX
    dots = "".join(
        f'<circle cx="{18 + 18 * i}" cy="15" r="5.5" fill="{color}"/>'
        for i, color in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>heyfleet in a terminal: two runs, and what changed between them</title>
<style>
text{{font:{FONT_PX}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d6deeb;white-space:pre;
animation-duration:{total_s:.2f}s;animation-iteration-count:infinite;animation-timing-function:step-end}}
.prompt{{fill:#7fdbca}}.head{{font-weight:bold;fill:#fff}}.bar{{fill:#82aaff}}.good{{font-weight:bold;fill:#addb67}}.bad{{font-weight:bold;fill:#ff6e6e}}
#lines{{transform:translateY({-scrolled_px}px);animation:scroll {total_s:.2f}s step-end infinite}}
@media (prefers-reduced-motion:reduce){{text,#lines{{animation:none!important}}}}
{rules}
</style>
<clipPath id="screen"><rect x="0" y="{top}" width="{width}" height="{height - top}"/></clipPath>
<rect width="{width}" height="{height}" rx="9" fill="#0b1622"/>{dots}
<g clip-path="url(#screen)"><g id="lines" xml:space="preserve">
{texts}
</g></g>
</svg>
"""


def main() -> None:
    """Record the commands and write the picture."""
    screen = Screen()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target, terminal = spawn(TARGET.removesuffix(" &"), folder)
        try:
            greeting = os.read(terminal, 1000).decode()
            if "listening" not in greeting:
                raise SystemExit(f"the practice target did not start: {greeting}")
            screen.write(f"$ {TARGET}\n{greeting.replace(chr(13), '')}", 0)
            now_s = 0.8
            for command, shown_s in COMMANDS:
                now_s = record(command, folder, screen, now_s) + shown_s
        finally:
            target.send_signal(signal.SIGTERM)
            target.wait(timeout=10)
            os.close(terminal)
    text = svg(screen.versions, now_s)
    OUTPUT.write_text(text)
    print(f"{OUTPUT.name}: {len(text) / 1000:.0f} kB, {now_s:.1f} s")


if __name__ == "__main__":
    main()
