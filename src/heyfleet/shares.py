"""How a plan is dealt out to agents, and an agent's part to its workers: integer shares, nothing lost, nothing doubled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """One part: connections number first, first + stride, ... of all, and so many requests (0: no limit)."""

    first: int
    stride: int
    connections: int
    requests: int


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
            requests=rounds * of_worker + _count(worker, stride, rest),
        )
        for worker in range(stride)
    ]


def _count(first: int, stride: int, below: int) -> int:
    """How many of first, first + stride, ... are below `below`."""
    return max(0, -((first - below) // stride))
