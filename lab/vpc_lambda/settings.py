"""The settings of the model, each with the source of its default.

SLIDES: Tomoya Iwata, "VPC Lambda Before & After", Developers.IO 2019 Fukuoka, 2019-10-26.
POST: "Announcing improved VPC networking for AWS Lambda functions", AWS Compute blog, 2019-09-03.
QUOTAS: the quotas pages of AWS Lambda and of Amazon API Gateway.
"Assumed" means that no source says it: it was chosen so that the slides' histograms come out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

OLD, NEW = "old", "new"
Range = tuple[float, float]
_MOST = 1e6


def _about(words: str, source: str) -> dict[str, str]:
    return {"words": words, "source": source}


@dataclass(frozen=True)
class Settings:
    """Settings of the model. Times are in seconds of its own clock; ranges are least and most."""

    network: str = field(
        default=NEW,
        metadata=_about("VPC network: old (interfaces are created while requests wait) or new.", "POST"),
    )
    memory: float = field(
        default=1.0,
        metadata=_about(
            "Memory of the function, in GB. 3 GB of sandboxes share one interface (old).",
            "POST: concurrency * memory / 3 GB",
        ),
    )
    duration: float = field(
        default=0.01,
        metadata=_about(
            "Time that the handler takes.",
            "assumed for experiment 1; SLIDES say 2 and 3 s for the others",
        ),
    )
    concurrency_limit: int = field(
        default=1000,
        metadata=_about("Maximum number of concurrent executions; more are throttled.", "QUOTAS"),
    )
    burst: int = field(
        default=1000,
        metadata=_about(
            "Number of sandboxes that may start at once.",
            "QUOTAS of 2019: 500, 1,000 or 3,000 by region; assumed: Tokyo's",
        ),
    )
    burst_refill: float = field(
        default=500.0,
        metadata=_about("Further sandboxes that may start per minute.", "QUOTAS of 2019"),
    )
    subnet_ips: int = field(
        default=251,
        metadata=_about(
            "Free addresses of the subnet, one per interface (old).", "a /24 without the five that AWS keeps"
        ),
    )
    eni_rate: float = field(
        default=5.0,
        metadata=_about(
            "Number of interfaces that may be created per second (old).", "assumed: a mutating call of EC2"
        ),
    )
    eni_burst: int = field(
        default=50,
        metadata=_about(
            "Number of interfaces that may be created at once (old).", "assumed: a mutating call of EC2"
        ),
    )
    eni_time: Range = field(
        default=(9.3, 12.5),
        metadata=_about(
            "Time to create and attach an interface, most near the upper end (old).",
            "SLIDES: 10 to 13 s with the start",
        ),
    )
    placement: Range = field(
        default=(0.05, 0.10),
        metadata=_about(
            "Cold start: time to find a place.", "assumed; with the next two 0.3 to 0.5 s, as SLIDES"
        ),
    )
    runtime: Range = field(
        default=(0.15, 0.22), metadata=_about("Cold start: time to start the runtime.", "assumed")
    )
    init: Range = field(
        default=(0.11, 0.19),
        metadata=_about("Cold start: time that the function's own initialization takes.", "assumed"),
    )
    starts_at_once: int = field(
        default=335,
        metadata=_about(
            "Number of cold starts that run at full speed; more share that speed.",
            "assumed: a thousand at once take 1.1 to 1.4 s in SLIDES",
        ),
    )
    overhead: Range = field(
        default=(0.018, 0.08),
        metadata=_about(
            "Time that API Gateway and the invocation add to every response, most near the lower end.",
            "SLIDES: 0.02 to 0.08 s",
        ),
    )
    reuse_after: float | None = field(
        default=None,
        metadata=_about(
            "Minimum time between the starts of two requests of a sandbox. Default: 0.05 (new), 0 (old).",
            "assumed: in experiment 1 fifty workers met 62 cold starts (new), 50 (old)",
        ),
    )
    idle_expiry: float = field(
        default=300.0,
        metadata=_about("Time without a request after which a sandbox is dropped.", "assumed: some minutes"),
    )
    api_rps: float = field(
        default=10000.0,
        metadata=_about("Requests per second that API Gateway accepts; more get 429.", "QUOTAS"),
    )
    api_burst: int = field(
        default=5000, metadata=_about("Number of those requests that may come at once.", "QUOTAS")
    )
    gateway_timeout: float = field(
        default=29.0,
        metadata=_about(
            "Time after which a request without a response gets 504; the sandbox continues.", "QUOTAS"
        ),
    )
    throttled_status: int = field(
        default=429,
        metadata=_about(
            "Status that API Gateway returns for a throttled execution: 429 or 500 to 599.",
            "QUOTAS: 429, or 500 with a proxy integration",
        ),
    )
    seed: int = field(default=7, metadata=_about("Seed of everything random.", ""))

    def __post_init__(self) -> None:
        """Check all values; raises ValueError with the flag at fault."""
        for name in (
            "duration", "idle_expiry", "burst_refill", "eni_rate", "gateway_timeout", "api_rps", "reuse_after",
        ):  # fmt: skip
            if not 0 <= (getattr(self, name) or 0) <= _MOST:
                raise ValueError(f"{_flag(name)}: not a number from 0 on")
        for name in ("eni_time", "placement", "runtime", "init", "overhead"):
            least, most = getattr(self, name)
            if not 0 <= least <= most <= 3600:
                raise ValueError(f"{_flag(name)}: not LEAST-MOST in seconds, such as 0.3-0.5")
        for name in ("concurrency_limit", "burst", "subnet_ips", "eni_burst", "api_burst"):
            if getattr(self, name) < 0:
                raise ValueError(f"{_flag(name)}: not a number from 0 on")
        if self.network not in (OLD, NEW):
            raise ValueError("--network: old or new")
        if not 0.128 <= self.memory <= 3.0:
            raise ValueError("--memory: Lambda gave 0.128 to 3 GB then")
        if self.starts_at_once < 1:
            raise ValueError("--starts-at-once: at least 1")
        if self.throttled_status != 429 and not 500 <= self.throttled_status <= 599:
            raise ValueError("--throttled-status: 429 or 500 to 599")

    @property
    def held_s(self) -> float:
        """Return `reuse_after`, or the default of the network."""
        if self.reuse_after is not None:
            return self.reuse_after
        return 0.05 if self.network == NEW else 0.0


@dataclass(frozen=True)
class Described:
    """A setting with its flag, help and source."""

    name: str
    flag: str
    words: str
    default: Any
    source: str


def described() -> list[Described]:
    """Return all settings."""
    return [
        Described(each.name, _flag(each.name), each.metadata["words"], each.default, each.metadata["source"])
        for each in fields(Settings)
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
