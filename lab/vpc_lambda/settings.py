"""What the model may be told, each with where its default comes from.

SLIDES: Tomoya Iwata, "VPC Lambda Before & After", Developers.IO 2019 Fukuoka, 2019-10-26.
POST: "Announcing improved VPC networking for AWS Lambda functions", AWS Compute blog, 2019-09-03.
QUOTAS: the quotas pages of AWS Lambda and of Amazon API Gateway.
"Assumed" is what no source says: it was chosen so that the slides' histograms come out.
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
    """Times in seconds, of the model's own clock; ranges are least and most."""

    network: str = field(
        default=NEW,
        metadata=_about("The VPC network: old (an interface is made while a request waits) or new.", "POST"),
    )
    memory: float = field(
        default=1.0,
        metadata=_about(
            "Of the function, in GB: of 3 GB of sandboxes each shares one interface (old).",
            "POST: concurrency * memory / 3 GB",
        ),
    )
    duration: float = field(
        default=0.01,
        metadata=_about(
            "What the handler takes, in seconds.",
            "assumed for experiment 1; SLIDES say 2 and 3 s for the others",
        ),
    )
    concurrency_limit: int = field(
        default=1000, metadata=_about("Executions at a time; more are throttled.", "QUOTAS")
    )
    burst: int = field(
        default=1000,
        metadata=_about(
            "Sandboxes that may be started at once.",
            "QUOTAS of 2019: 500, 1,000 or 3,000 by region; assumed: Tokyo's",
        ),
    )
    burst_refill: float = field(default=500.0, metadata=_about("Further ones a minute.", "QUOTAS of 2019"))
    subnet_ips: int = field(
        default=251,
        metadata=_about(
            "Free addresses of the subnet, one an interface (old).", "a /24 without the five that AWS keeps"
        ),
    )
    eni_rate: float = field(
        default=5.0,
        metadata=_about("Interfaces that may be created a second (old).", "assumed: a mutating call of EC2"),
    )
    eni_burst: int = field(
        default=50,
        metadata=_about("Interfaces that may be created at once (old).", "assumed: a mutating call of EC2"),
    )
    eni_time: Range = field(
        default=(9.3, 12.5),
        metadata=_about(
            "Creation and attachment of an interface; most come late (old).",
            "SLIDES: 10 to 13 s with the start",
        ),
    )
    placement: Range = field(
        default=(0.05, 0.10),
        metadata=_about(
            "Of a cold start: finding a place.", "assumed; with the next two 0.3 to 0.5 s, as SLIDES"
        ),
    )
    runtime: Range = field(default=(0.15, 0.22), metadata=_about("Of a cold start: the runtime.", "assumed"))
    init: Range = field(
        default=(0.11, 0.19), metadata=_about("Of a cold start: the code's own beginning.", "assumed")
    )
    starts_at_once: int = field(
        default=335,
        metadata=_about(
            "Cold starts that go at full speed; more share that.",
            "assumed: a thousand at once take 1.1 to 1.4 s in SLIDES",
        ),
    )
    overhead: Range = field(
        default=(0.018, 0.08),
        metadata=_about(
            "Of any answer, beside the handler: API Gateway and the invocation. Most are short.",
            "SLIDES: 0.02 to 0.08 s",
        ),
    )
    reuse_after: float | None = field(
        default=None,
        metadata=_about(
            "A sandbox takes its next request so long after its last one's begin. Default: 0.05 (new), 0 (old).",
            "assumed: in experiment 1 fifty workers met 62 cold starts (new), 50 (old)",
        ),
    )
    idle_expiry: float = field(
        default=300.0,
        metadata=_about("A sandbox without a request for so long is dropped.", "assumed: some minutes"),
    )
    api_rps: float = field(
        default=10000.0, metadata=_about("Requests a second that API Gateway takes; more get 429.", "QUOTAS")
    )
    api_burst: int = field(default=5000, metadata=_about("Of them at once.", "QUOTAS"))
    gateway_timeout: float = field(
        default=29.0,
        metadata=_about("What has no answer after so long gets 504; the sandbox works on.", "QUOTAS"),
    )
    throttled_status: int = field(
        default=429,
        metadata=_about(
            "What API Gateway makes of a throttled execution: 429 or 500 to 599.",
            "QUOTAS: 429, or 500 with a proxy integration",
        ),
    )
    seed: int = field(default=7, metadata=_about("Of all that is left to chance.", ""))

    def __post_init__(self) -> None:
        """Raises ValueError with the name of what can't be."""
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
        """`reuse_after`, as the network has it."""
        if self.reuse_after is not None:
            return self.reuse_after
        return 0.05 if self.network == NEW else 0.0


@dataclass(frozen=True)
class Described:
    """A setting, as people see it."""

    name: str
    flag: str
    words: str
    default: Any
    source: str


def described() -> list[Described]:
    """All of them."""
    return [
        Described(each.name, _flag(each.name), each.metadata["words"], each.default, each.metadata["source"])
        for each in fields(Settings)
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
