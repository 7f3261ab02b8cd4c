"""The settings of the model, each with the source of its default.

SLIDES: Tomoya Iwata, "VPC Lambda Before & After", Developers.IO 2019 Fukuoka, 2019-10-26.
POST: "Announcing improved VPC networking for AWS Lambda functions", AWS Compute blog, 2019-09-03.
QUOTAS: the quotas pages of AWS Lambda and of Amazon API Gateway.
"Assumed" values have no source; they were chosen so that the model reproduces the slides' histograms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

OLD, NEW = "old", "new"
Range = tuple[float, float]
_MAX = 1e6


def _about(help_text: str, source: str) -> dict[str, str]:
    return {"help": help_text, "source": source}


@dataclass(frozen=True)
class Settings:
    """Times are in seconds of the model's clock; ranges are minimum and maximum."""

    network: str = field(
        default=NEW,
        metadata=_about("VPC network: old (an interface is created while a request waits) or new.", "POST"),
    )
    memory: float = field(
        default=1.0,
        metadata=_about(
            "Memory of the function in GB; sandboxes of 3 GB in total share one interface (old).",
            "POST: concurrency * memory / 3 GB",
        ),
    )
    duration: float = field(
        default=0.01,
        metadata=_about(
            "Duration of the handler in seconds.",
            "assumed for experiment 1; SLIDES say 2 and 3 s for the others",
        ),
    )
    concurrency_limit: int = field(
        default=1000, metadata=_about("Maximum concurrent executions; more are throttled.", "QUOTAS")
    )
    burst: int = field(
        default=1000,
        metadata=_about(
            "Sandboxes that can start at once.",
            "QUOTAS of 2019: 500, 1,000 or 3,000 by region; assumed: Tokyo's",
        ),
    )
    burst_refill: float = field(
        default=500.0, metadata=_about("Sandboxes that can start per minute after that.", "QUOTAS of 2019")
    )
    subnet_ips: int = field(
        default=251,
        metadata=_about(
            "Free addresses of the subnet, one for each interface (old).",
            "a /24 without the five addresses that AWS reserves",
        ),
    )
    eni_rate: float = field(
        default=5.0,
        metadata=_about(
            "Interfaces that can be created per second (old).", "assumed: a mutating call of EC2"
        ),
    )
    eni_burst: int = field(
        default=50,
        metadata=_about("Interfaces that can be created at once (old).", "assumed: a mutating call of EC2"),
    )
    eni_time: Range = field(
        default=(9.3, 12.5),
        metadata=_about(
            "Time to create and attach an interface; most values are near the maximum (old).",
            "SLIDES: 10 to 13 s including the start",
        ),
    )
    placement: Range = field(
        default=(0.05, 0.10),
        metadata=_about(
            "Time of a cold start spent on placement.",
            "assumed; 0.3 to 0.5 s together with the next two, as in SLIDES",
        ),
    )
    runtime: Range = field(
        default=(0.15, 0.22), metadata=_about("Time of a cold start spent on the runtime.", "assumed")
    )
    init: Range = field(
        default=(0.11, 0.19),
        metadata=_about("Time of a cold start spent on the function's own initialization.", "assumed"),
    )
    starts_at_once: int = field(
        default=335,
        metadata=_about(
            "Concurrent cold starts at full speed; more share that speed.",
            "assumed: a thousand at once take 1.1 to 1.4 s in SLIDES",
        ),
    )
    overhead: Range = field(
        default=(0.018, 0.08),
        metadata=_about(
            "Time of each response besides the handler: API Gateway and invocation; most values are short.",
            "SLIDES: 0.02 to 0.08 s",
        ),
    )
    reuse_after: float | None = field(
        default=None,
        metadata=_about(
            "Minimum time between two requests of a sandbox. Default: 0.05 (new), 0 (old).",
            "assumed: in experiment 1 fifty workers met 62 cold starts (new), 50 (old)",
        ),
    )
    idle_expiry: float = field(
        default=300.0,
        metadata=_about("Time after which an idle sandbox is removed.", "assumed: some minutes"),
    )
    api_rps: float = field(
        default=10000.0,
        metadata=_about("Requests per second that API Gateway accepts; more get 429.", "QUOTAS"),
    )
    api_burst: int = field(
        default=5000, metadata=_about("Requests that API Gateway accepts at once.", "QUOTAS")
    )
    gateway_timeout: float = field(
        default=29.0,
        metadata=_about("Time after which a request gets 504; its sandbox goes on.", "QUOTAS"),
    )
    throttled_status: int = field(
        default=429,
        metadata=_about(
            "Status of a throttled execution: 429 or 500 to 599.",
            "QUOTAS: 429, or 500 with a proxy integration",
        ),
    )
    seed: int = field(default=7, metadata=_about("Seed of all random values.", ""))

    def __post_init__(self) -> None:
        """Check all settings; ValueError with the name of the flag."""
        for name in (
            "duration", "idle_expiry", "burst_refill", "eni_rate", "gateway_timeout", "api_rps", "reuse_after",
        ):  # fmt: skip
            if not 0 <= (getattr(self, name) or 0) <= _MAX:
                raise ValueError(f"{_flag(name)}: must be from 0 to {_MAX:.0f}")
        for name in ("eni_time", "placement", "runtime", "init", "overhead"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 3600:
                raise ValueError(f"{_flag(name)}: must be MIN-MAX in seconds, such as 0.3-0.5")
        for name in ("concurrency_limit", "burst", "subnet_ips", "eni_burst", "api_burst"):
            if getattr(self, name) < 0:
                raise ValueError(f"{_flag(name)}: must not be negative")
        if self.network not in (OLD, NEW):
            raise ValueError("--network: must be old or new")
        if not 0.128 <= self.memory <= 3.0:
            raise ValueError("--memory: must be 0.128 to 3, as Lambda offered in 2019")
        if self.starts_at_once < 1:
            raise ValueError("--starts-at-once: must be at least 1")
        if self.throttled_status != 429 and not 500 <= self.throttled_status <= 599:
            raise ValueError("--throttled-status: must be 429 or 500 to 599")

    @property
    def reuse_after_s(self) -> float:
        """Return `reuse_after`, or the default of the network."""
        if self.reuse_after is not None:
            return self.reuse_after
        return 0.05 if self.network == NEW else 0.0


@dataclass(frozen=True)
class Description:
    """A setting as help and documentation show it."""

    name: str
    flag: str
    help: str
    default: Any
    source: str


def descriptions() -> list[Description]:
    """Return the descriptions of all settings, in the order of their declaration."""
    return [
        Description(
            setting.name,
            _flag(setting.name),
            setting.metadata["help"],
            setting.default,
            setting.metadata["source"],
        )
        for setting in fields(Settings)
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
