"""Live exports: scraped like Prometheus does, and received like a collector does."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from ..ports import free_port
from .command import heyfleet


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def start(*flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "heyfleet", "run", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def scraped(port: int) -> dict[tuple[str, str | None], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, sample.labels.get("quantile")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_endpoint(nginx: Any) -> None:
    port = free_port()
    run = start(
        "--rate",
        "500",
        "-z",
        "6s",
        "--local-agents",
        "2",
        "--prometheus",
        f"127.0.0.1:{port}",
        nginx.url("/"),
    )

    def seen() -> bool:
        try:
            return scraped(port).get(("heyfleet_requests_sent_total", None), 0) >= 1000
        except OSError:
            return False

    wait_for(seen)
    values = scraped(port)
    assert values["heyfleet_latency_seconds_count", None] >= 990
    assert 0 < values["heyfleet_latency_seconds", "0.5"] <= values["heyfleet_latency_seconds", "0.99"]
    assert run.wait() == 0
    run.communicate()


@pytest.mark.others
def test_scraped_by_prometheus_itself(nginx: Any, tmp_path: Path) -> None:
    binary = shutil.which("prometheus")
    assert binary, "scripts/system-packages.sh others installs it"
    port, own = free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: load, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    command = [
        *(binary, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = start("--rate", "200", "-z", "7s", "--prometheus", f"127.0.0.1:{port}", nginx.url("/"))
    try:
        query = f"http://127.0.0.1:{own}/api/v1/query?query=heyfleet_latency_seconds{{quantile=%220.99%22}}"

        def known() -> bool:
            try:
                with urllib.request.urlopen(query, timeout=5) as answer:
                    return re.search(r'"value":\[[\d.]+,"0\.\d+', answer.read().decode()) is not None
            except OSError:
                return False

        wait_for(known)
        assert run.wait() == 0
    finally:
        run.communicate()
        server.terminate()
        server.wait()


class Collector(http.server.ThreadingHTTPServer):
    """Receives OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/metrics"
        self.server.requests.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def test_otlp_collector(nginx: Any) -> None:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{collector.server_port}"
            outcome = heyfleet(
                "run", "--json", "--rate", "300", "-z", "2s", "--otlp", endpoint, nginx.url("/")
            )
        finally:
            collector.shutdown()
            thread.join()
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    metrics = [
        metric
        for request in collector.requests
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    points = [metric.histogram.data_points[0] for metric in metrics if metric.name == "heyfleet.latency"]
    assert sum(point.count for point in points) == outcome.report["ledger"]["responses"] == 600
    assert all(sum(point.bucket_counts) == point.count for point in points)
    assert max(point.max for point in points) == pytest.approx(outcome.report["latency"]["slowest_ns"] / 1e9)
    answered = [metric.sum.data_points[0].as_int for metric in metrics if metric.name == "heyfleet.responses"]
    assert answered == sorted(answered)
    assert answered[-1] == 600


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--prometheus", "here"), "not an address"),
        (("--prometheus", "192.0.2.1:9464"), "--prometheus 192.0.2.1:9464: "),
        (("--otlp", "localhost"), "not the URL of a collector"),
    ],
)
def test_invalid_live_exports(nginx: Any, flags: tuple[str, ...], says: str) -> None:
    outcome = heyfleet("run", "-n", "5", *flags, nginx.url("/"))
    assert outcome.exit_code == 2
    assert says in outcome.stderr


def test_a_missing_collector_is_a_warning(nginx: Any) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    outcome = heyfleet("run", "--rate", "100", "-n", "100", "--otlp", endpoint, nginx.url("/"))
    assert outcome.exit_code == 0
    assert "100 responses" in outcome.stdout
    assert "did not accept" in outcome.stderr


@pytest.mark.parametrize("url", ["http://me:s3cret@[::1/v1", "http://me:s3cret@h:port/", "http://h:0/"])
def test_a_collector_that_is_no_url_is_refused(url: str) -> None:
    outcome = heyfleet("run", "-n", "1", "-c", "1", "--otlp", url, "http://127.0.0.1:1/")
    assert outcome.exit_code == 2
    assert "not the URL of a collector" in outcome.stderr
    assert "s3cret" not in outcome.stderr
