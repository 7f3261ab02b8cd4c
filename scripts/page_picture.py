"""Take the picture of a run's page: docs/pictures/page.png.

    python scripts/page_picture.py            # needs chromium (scripts/system-packages.sh others)

A run with three stages on three local agents, against `heyfleet lab faulty` on a free port, exported as a page.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

OUTPUT = Path(__file__).parent.parent / "docs" / "pictures" / "page.png"
HEYFLEET = [sys.executable, "-m", "heyfleet"]
STAGES = "up=10s:0-1000, steady=15s:1000, peak=10s:1000-2000"
BEHAVIOR = "/ok?delay=2ms&jitter=3ms&tail=0.5%25/40ms"
WINDOW = "1200,1215"


def make_page(folder: Path) -> Path:
    """Run the load and export it."""
    target = subprocess.Popen([*HEYFLEET, "lab", "faulty", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        greeting = target.stdout.readline() if target.stdout else ""
        url = greeting.rpartition(" ")[2].strip() + BEHAVIOR
        run = [
            "run",
            "--local-agents",
            "3",
            "--stages",
            STAGES,
            "--slo",
            "p99<100ms",
            "--per-agent",
            "--quiet",
        ]
        subprocess.run(
            [*HEYFLEET, *run, "--out", "run", url], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
    finally:
        target.send_signal(signal.SIGTERM)
        target.wait(timeout=30)
    subprocess.run([*HEYFLEET, "export", "run", "--as", "html", "-o", "page.html"], cwd=folder, check=True)
    return folder / "page.html"


def main() -> None:
    """Make the page and take its picture."""
    browser = shutil.which("chromium")
    if browser is None:
        raise SystemExit("the picture needs chromium: scripts/system-packages.sh others")
    with tempfile.TemporaryDirectory() as name:
        page = make_page(Path(name))
        command = [
            browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000",
            f"--window-size={WINDOW}", f"--screenshot={OUTPUT}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
