"""Every command of the pages runs as written; tests/pages.py says what a command is."""

from __future__ import annotations

import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..certificates import Authority
from ..conftest import Faulty
from ..pages import ROOT, commands
from ..ports import free_port
from ..proxies import Tinyproxy
from .page_runner import PageRunner

# Pages whose commands are run here.
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/explain/accuracy.md",
    "docs/explain/benchmarks.md",
    "docs/explain/experiments.md",
    "docs/how-to/addresses.md",
    "docs/how-to/bodies.md",
    "docs/how-to/ci.md",
    "docs/how-to/compare.md",
    "docs/how-to/find-the-maximum.md",
    "docs/how-to/fleet.md",
    "docs/how-to/http2.md",
    "docs/how-to/https.md",
    "docs/how-to/live-metrics.md",
    "docs/how-to/plan-file.md",
    "docs/how-to/proxy.md",
    "docs/how-to/requests.md",
    "docs/how-to/results.md",
    "docs/how-to/shape-the-load.md",
    "docs/reference/lab-faulty.md",
    "docs/reference/lab-vpc-lambda.md",
    "docs/start/from-k6.md",
    "docs/start/from-locust.md",
    "docs/start/from-wrk.md",
    "docs/start/install.md",
    "examples/vpc-lambda/README.md",
)
# Pages whose commands need more, and the tests that run them.
ELSEWHERE = {
    "deploy/docker/README.md": "tests/unit/deploy/test_readmes.py",
    "deploy/ecs/README.md": "tests/unit/deploy/test_readmes.py",
    "deploy/k8s/README.md": "tests/unit/deploy/test_readmes.py",
    "docs/how-to/deploy-docker.md": "tests/hosts/test_guide_of_docker.py",
    "docs/how-to/deploy-ec2.md": "tests/unit/deploy/ec2/test_guide.py",
    "docs/how-to/deploy-ecs.md": "tests/hosts/test_guide_of_ecs.py",
    "docs/how-to/deploy-k8s.md": "tests/unit/deploy/k8s/test_guide.py",
    "docs/how-to/deploy-local.md": "tests/fleet/test_deploy_local.py",
    "docs/how-to/deploy-ssh.md": "tests/hosts/test_guide_of_ssh.py",
    "docs/start/tour.md": "tests/integration/test_tour.py",
    "examples/vpc-lambda/aws/README.md": "tests/integration/test_tour.py",
}
HEY_REPORT = """
Summary:
  Total:\t1.0000 secs
  Requests/sec:\t{rate}

Response time histogram:
  0.001 [1]\t|
  {mark} [99]\t|■

Latency distribution:
  50% in {mark} secs

Status code distribution:
  [200]\t100 responses
"""


class UnixServer(socketserver.ThreadingUnixStreamServer):
    """An HTTP server on a Unix socket that answers hello to everything."""

    daemon_threads = True


class Hello(socketserver.StreamRequestHandler):
    """Answers each request of a connection."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            if line == b"\r\n":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def write_files(folder: Path, url: str) -> None:
    """Write the files that the pages' commands read; plans and targets are the pages' own."""
    plan = next(block for block in blocks("docs/how-to/plan-file.md", "yaml"))
    plan = plan.replace("http://localhost:8080", url).replace(
        "duration: 10s\nwarmup: 2s\nslo:", "duration: 300ms\n#"
    )
    (folder / "plan.yaml").write_text(plan)
    targets = next(block for block in blocks("docs/how-to/requests.md", "text"))
    (folder / "targets.txt").write_text(targets.replace("http://localhost:8080", url))
    (folder / "paths.txt").write_text("GET /search?q=a\nGET /ok\n")
    (folder / "order.json").write_text('{"n": 1}')
    (folder / "users.csv").write_text("id,name\n" + "".join(f"{i},user{i}\n" for i in range(50)))
    for name in ("image.iso", "file.bin"):
        (folder / name).write_bytes(b"x" * 50_000)
    for name, rate, mark in (("before", 100.0, "0.010"), ("after", 90.0, "0.020")):
        (folder / f"hey-{name}.txt").write_text(HEY_REPORT.format(rate=rate, mark=mark))
    Authority().sign("client").write(folder, "client")
    shutil.copytree(ROOT / "examples", folder / "examples")


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[PageRunner]:
    plain, secure = Faulty(), Faulty("--tls", str(tmp_path / "ca.pem"))
    listen = free_port()
    stand_ins = {
        "http://service.internal/": plain.url("/"),
        "https://service.internal/": f"https://localhost:{secure.port}/",
        "https://localhost:8443/": f"https://localhost:{secure.port}/",
        "localhost:8080": f"localhost:{plain.port}",
        "127.0.0.1:8080": f"127.0.0.1:{plain.port}",
        "10.0.0.1:7700": f"127.0.0.1:{listen}",
        ":9464": f":{free_port()}",
        "/run/app.sock": str(tmp_path / "app.sock"),
    }
    write_files(tmp_path, plain.url(""))
    made = PageRunner(tmp_path, stand_ins)
    yield made
    made.stop()
    plain.stop()
    secure.stop()


@pytest.mark.timeout(500)  # a page may have twenty runs, and the machine other work
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page(page: str, runner: PageRunner, request: pytest.FixtureRequest) -> None:
    if prepare := PREPARE.get(page):
        request.addfinalizer(prepare(runner))
    for line in commands(page):
        if page == "docs/how-to/results.md" and line.startswith("heyfleet export "):
            continue  # tests/integration/test_guide_of_results.py runs them on a run with these stages and requests
        if line.startswith("heyfleet controller "):
            runner.run(line)
            runner.start_agents(3, runner.stand_ins["10.0.0.1:7700"], "fleet")
            continue
        runner.run(line)


def prepare_addresses(runner: PageRunner) -> Callable[[], object]:
    server = UnixServer(runner.stand_ins["/run/app.sock"], Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = runner.stand_ins["localhost:8080"].rpartition(":")[2]
    runner.stand_ins = {
        " http://service.internal/": f" http://localhost:{port}/",
        f"--resolve service.internal:80:127.0.0.1 http://localhost:{port}/": (
            f"--resolve service.internal:{port}:127.0.0.1 http://service.internal:{port}/"
        ),
        f"--connect-to service.internal:80:localhost:8080 http://localhost:{port}/": (
            f"--connect-to service.internal:80:localhost:{port} http://service.internal/"
        ),
        **{text: value for text, value in runner.stand_ins.items() if "service" not in text},
    }

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def prepare_proxy(runner: PageRunner) -> Callable[[], object]:
    proxy = Tinyproxy(runner.folder)
    runner.stand_ins["proxy.internal:3128"] = f"127.0.0.1:{proxy.port}"
    return proxy.stop


def prepare_runs(*names: str) -> Callable[[PageRunner], Callable[[], object]]:
    def prepare(runner: PageRunner) -> Callable[[], object]:
        """Make runs that overlap in time, as `merge` requires."""
        url = f"http://{runner.stand_ins['localhost:8080']}/"
        lines = [f"heyfleet run --rate 100 -z 3s -c 4 --out {name} {url}" for name in names]
        processes = [runner.start(line, runner.folder)[0] for line in lines]
        assert [process.wait(60) for process in processes] == [0] * len(names)
        return lambda: None

    return prepare


PREPARE = {
    "docs/how-to/addresses.md": prepare_addresses,
    "docs/how-to/proxy.md": prepare_proxy,
    "docs/how-to/results.md": prepare_runs("host-a", "host-b", "host-c"),
    "docs/how-to/compare.md": prepare_runs("before", "after", "after-1", "after-2"),
}


def test_every_page_with_commands_is_run_by_a_test() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    pages = {name for name in listed.stdout.split() if (ROOT / name).is_file() and commands(name)}
    assert pages == {*PAGES, *ELSEWHERE}
    assert [test for page, test in ELSEWHERE.items() if page not in (ROOT / test).read_text()] == []
