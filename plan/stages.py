"""Load profiles: stages, think times and weights, from their text and as plain arithmetic on a plan."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from math import gcd, lcm

from heyfleet.durations import MAX_DURATION_NS, format_duration, parse_duration_ns, parse_rate_per_s
from heyfleet.plan.values import parse_users
from heyfleet.proto.plan_pb2 import RATE, USERS, LoadModel, Plan, Stage, Think

MAX_WEIGHT_SUM = 10_000  # of all weights in lowest terms
MAX_STAGES = 256
MAX_MEAN_NS = MAX_DURATION_NS // 100  # no draw of 64 random bits is more than 45 means
_NAME = re.compile(r"[A-Za-z_][\w .-]*")
Weight = tuple[int, int]  # numerator and denominator
Stages = tuple[LoadModel, tuple[Stage, ...]]


def parse_stages(text: str) -> Stages:
    """Return the load model and stages of '30s:0-1000, hold=2m:1000' or 'users: 30s:0-100'. Raises ValueError."""
    prefix, colon, rest = text.partition(":")
    load_model: LoadModel = RATE
    if colon and prefix.strip() in ("users", "rate"):
        load_model, text = USERS if prefix.strip() == "users" else RATE, rest
    items = [item.strip() for item in text.split(",")]
    if len(items) > MAX_STAGES:
        raise ValueError(f"{len(items)} stages are too many; the maximum is {MAX_STAGES}")
    stages = tuple(_parse_stage(item, number, load_model) for number, item in enumerate(items, 1))
    names = [stage.name for stage in stages]
    if duplicate := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"two stages are called {duplicate!r}; each needs a name of its own")
    if not any(stage.first or stage.last for stage in stages):
        raise ValueError(f"{text.strip()!r} sends nothing: every level is 0")
    return load_model, stages


def _parse_stage(text: str, number: int, load_model: LoadModel) -> Stage:
    name, equals, rest = text.partition("=")
    if not equals:
        name, rest = str(number), text
    elif not _NAME.fullmatch(name := name.strip()):
        raise ValueError(f"{text!r}: {name!r} is not a name; a name begins with a letter")
    duration, colon, levels = rest.strip().partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a stage like 30s:0-1000 or 2m:1000 (DURATION:FROM-TO)")
    duration_ns = parse_duration_ns(duration)
    if not duration_ns:
        raise ValueError(f"{text!r}: a stage must last longer than 0")
    first, dash, last = levels.strip().partition("-")
    if not first or (dash and not last):
        raise ValueError(f"{text!r} lacks a level; write it like 30s:0-1000 or 2m:1000 (DURATION:FROM-TO)")
    parse_level = parse_users if load_model == USERS else parse_rate_per_s
    first_level = parse_level(first)
    return Stage(
        name=name,
        duration_ns=duration_ns,
        first=first_level,
        last=parse_level(last) if dash else first_level,
    )


def constant_stage(level: float, name: str = "1") -> Stage:
    """Return a stage of one level that has no end."""
    return Stage(name=name, first=level, last=level)


def spawn_stages(users: int, spawn_rate_per_s: float) -> list[Stage]:
    """Return the stages of users that arrive one after the other and stay; a rate of 0 starts all at once."""
    if not spawn_rate_per_s:
        return [constant_stage(users)]
    duration_ns = round(users * 1e9 / spawn_rate_per_s)
    return [Stage(name="spawn", duration_ns=duration_ns, last=users), constant_stage(users, "all")]


def parse_think_time(text: str) -> Think:
    """Return the think time of '1s', '0.5s-2s' (uniform) or 'exp:1s' (exponential, by its mean). Raises ValueError."""
    if text.startswith("exp:"):
        mean_ns = parse_duration_ns(text[4:])
        if mean_ns > MAX_MEAN_NS:
            raise ValueError(f"{text!r} is too large; the maximum is exp:{format_duration(MAX_MEAN_NS)}")
        return Think(kind=Think.EXPONENTIAL, low_ns=mean_ns)
    low, dash, high = text.partition("-")
    low_ns = parse_duration_ns(low)
    high_ns = parse_duration_ns(high) if dash else low_ns
    if high_ns < low_ns:
        raise ValueError(f"{text!r} goes from more to less")
    return Think(kind=Think.UNIFORM, low_ns=low_ns, high_ns=high_ns)


def parse_weight(text: str) -> Weight:
    """Return a weight above 0, such as 3 or 0.5, as an exact fraction. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,6}))?", text.strip(), re.ASCII)
    fraction = (match[2] or "") if match else ""
    weight = (int(match[1] + fraction), 10 ** len(fraction)) if match else (0, 1)
    if not weight[0]:
        raise ValueError(f"{text!r} is not a weight; write a number above 0, such as 3 or 0.5")
    return weight


def whole_weights(weights: Iterable[Weight]) -> list[int]:
    """Return the smallest whole numbers in the same proportions. Raises ValueError if they are too large."""
    fractions = list(weights)
    scale = lcm(*(denominator for _, denominator in fractions))
    scaled = [numerator * scale // denominator for numerator, denominator in fractions]
    common = gcd(*scaled)
    whole = [weight // common for weight in scaled]
    if sum(whole) > MAX_WEIGHT_SUM:
        raise ValueError(
            f"the weights are too fine: in whole numbers they add up to {sum(whole)}; the maximum is {MAX_WEIGHT_SUM}"
        )
    return whole


def total_duration_ns(stages: Iterable[Stage]) -> int:
    """Return the duration of all stages together; 0 if one of them has no end."""
    durations = [stage.duration_ns for stage in stages]
    return sum(durations) if durations and all(durations) else 0


def peak_users(stages: Iterable[Stage]) -> int:
    """Return the highest number of users in any stage."""
    return math.ceil(max(max(stage.first, stage.last) for stage in stages))


def peak_rate_per_s(plan: Plan) -> float:
    """Return the highest target rate of a plan in requests a second; 0 if the plan sets no rate."""
    if plan.load_model == USERS:
        return 0.0
    return max((max(stage.first, stage.last) for stage in plan.stages), default=0.0)


def stage_ends_ns(plan: Plan) -> list[int]:
    """Return when each stage ends, in ns from the start of the load, warm-up included.

    A stage without a duration ends with the load, or at 0 if the load has no fixed duration.
    """
    ends: list[int] = []
    end_ns = 0
    whole_ns = plan.warmup_ns + plan.duration_ns if plan.duration_ns else 0
    for stage in plan.stages:
        end_ns = end_ns + stage.duration_ns if stage.duration_ns else whole_ns
        ends.append(min(end_ns, whole_ns) if whole_ns else end_ns)
    return ends
