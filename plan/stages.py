"""The shape of a load from its text: stages, thinking, weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from math import gcd, lcm

from heyfleet.plan import values
from heyfleet.proto.plan_pb2 import RATE, USERS, LoadModel, Plan, Stage, Think

WEIGHTS_AT_MOST = 10_000  # the sum of all, in lowest terms
STAGES_AT_MOST = 256
NAME = re.compile(r"[A-Za-z_][\w .-]*")
Weight = tuple[int, int]  # numerator and denominator
Stages = tuple[LoadModel, tuple[Stage, ...]]


def stages(text: str) -> Stages:
    """What '30s:0-1000, hold=2m:1000' or 'users: 30s:0-100' stand for; ValueError."""
    kind, colon, rest = text.partition(":")
    loop: LoadModel = RATE
    if colon and kind.strip() in ("users", "rate"):
        loop, text = USERS if kind.strip() == "users" else RATE, rest
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > STAGES_AT_MOST:
        raise ValueError(f"{len(parts)} stages are too many; the most is {STAGES_AT_MOST}")
    found = tuple(_stage(part, number, loop) for number, part in enumerate(parts, 1))
    names = [stage.name for stage in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"two stages are called {twice!r}; each needs a name of its own")
    if not any(stage.first or stage.last for stage in found):
        raise ValueError(f"{text.strip()!r} sends nothing: every level is 0")
    return loop, found


def _stage(text: str, number: int, loop: LoadModel) -> Stage:
    name, equals, rest = text.partition("=")
    if not equals:
        name, rest = str(number), text
    elif not NAME.fullmatch(name := name.strip()):
        raise ValueError(f"{text!r}: {name!r} is not a name; it begins with a letter")
    duration, colon, levels = rest.strip().partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a stage like 30s:0-1000 or 2m:1000 (DURATION:FROM-TO)")
    duration_ns = values.duration(duration.strip())
    if not duration_ns:
        raise ValueError(f"{text!r}: a stage must last longer than 0")
    first, dash, last = levels.strip().partition("-")
    level = values.users if loop == USERS else values.total_rate
    return Stage(
        name=name, duration_ns=duration_ns, first=(begin := level(first)), last=level(last) if dash else begin
    )


def constant(level: float, name: str = "1") -> Stage:
    """A level without an end."""
    return Stage(name=name, first=level, last=level)


def spawning(users: int, spawn_rate: float) -> list[Stage]:
    """Users that come one after the other, and stay."""
    if not spawn_rate:
        return [constant(users)]
    duration_ns = round(users * 1e9 / spawn_rate)
    return [Stage(name="spawn", duration_ns=duration_ns, last=users), constant(users, "all")]


def think(text: str) -> Think:
    """'1s', '0.5s-2s' or 'exp:1s'; ValueError."""
    if text.startswith("exp:"):
        return Think(kind=Think.EXPONENTIAL, low_ns=values.duration(text[4:].strip()))
    low, dash, high = text.partition("-")
    low_ns = values.duration(low.strip())
    high_ns = values.duration(high.strip()) if dash else low_ns
    if high_ns < low_ns:
        raise ValueError(f"{text!r} goes from more to less")
    return Think(kind=Think.UNIFORM, low_ns=low_ns, high_ns=high_ns)


def weight(text: str) -> Weight:
    """A number above 0, such as 3 or 0.5; ValueError."""
    match = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,6}))?", text.strip(), re.ASCII)
    fraction = (match[2] or "") if match else ""
    found = (int(match[1] + fraction), 10 ** len(fraction)) if match else (0, 1)
    if not found[0]:
        raise ValueError(f"{text!r} is not a weight; write a number above 0, such as 3 or 0.5")
    return found


def whole_weights(weights: Iterable[Weight]) -> list[int]:
    """The same proportions in whole numbers, as small as can be; ValueError."""
    parts = list(weights)
    scale = lcm(*(denominator for _, denominator in parts))
    whole = [numerator * scale // denominator for numerator, denominator in parts]
    common = gcd(*whole)
    whole = [part // common for part in whole]
    if sum(whole) > WEIGHTS_AT_MOST:
        raise ValueError(
            f"the weights are too fine: in whole numbers they add up to {sum(whole)}, the most is {WEIGHTS_AT_MOST}"
        )
    return whole


def length_ns(plan: Plan) -> int:
    """How long all stages take; 0: without an end."""
    durations = [stage.duration_ns for stage in plan.stages]
    return sum(durations) if durations and all(durations) else 0


def most_users(found: Iterable[Stage]) -> int:
    """How many there are at the highest."""
    return math.ceil(max(max(stage.first, stage.last) for stage in found))


def highest_rate(plan: Plan) -> float:
    """Requests a second at the highest; 0 where no rate is set."""
    if plan.load_model == USERS:
        return 0.0
    return max((max(stage.first, stage.last) for stage in plan.stages), default=0.0)


def stage_ends_ns(plan: Plan) -> list[int]:
    """When each stage ends, from the start of the load, the warm-up included; of one without an end: the load's, or 0."""
    ends: list[int] = []
    end_ns = 0
    whole_ns = plan.warmup_ns + plan.duration_ns if plan.duration_ns else 0
    for stage in plan.stages:
        end_ns = end_ns + stage.duration_ns if stage.duration_ns else whole_ns
        ends.append(min(end_ns, whole_ns) if whole_ns else end_ns)
    return ends
