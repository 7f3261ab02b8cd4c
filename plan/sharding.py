"""How a plan is dealt out to agents, and an agent's part to its workers: integer shares, nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """One part: connections number first, first + stride, ... of all, and so many requests (0: no limit)."""

    first: int
    stride: int
    connections: int
    request_count: int


def deal(workers: int, connections: int, requests: int) -> list[Share]:
    """Shares for so many workers (or agents), never more than connections, nor (where they are counted) than requests.

    Connection g goes to worker g modulo the number of workers; the requests are those that each connection would get if
    they went around all connections in turn, which is also the order of a schedule's ticks.
    """
    if requests:
        connections = min(connections, requests)
    stride = min(workers, connections)
    rounds, rest = divmod(requests, connections)
    return [
        Share(
            first=worker,
            stride=stride,
            connections=(of_worker := _count(worker, stride, connections)),
            request_count=rounds * of_worker + _count(worker, stride, rest),
        )
        for worker in range(stride)
    ]


def request_order(weights: Sequence[int]) -> list[int]:
    """Which request is sent as the first, the second, ... of a round: each as often as its weight, evenly spread.

    The smooth weighted round robin that nginx made known: each request gains its weight at every step, the richest is sent
    and pays the sum of all.
    """
    total = sum(weights)
    credit = [0] * len(weights)
    order = []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        richest = max(range(len(weights)), key=credit.__getitem__)
        credit[richest] -= total
        order.append(richest)
    return order


def _count(first: int, stride: int, below: int) -> int:
    """How many of first, first + stride, ... are below `below`."""
    return max(0, -((first - below) // stride))
