"""Exact integer shares of a plan: for the agents of a fleet, and for the workers of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """One agent's or worker's share.

    It has the connections numbered first, first + stride, first + 2 * stride, ... of all connections, and a number of
    requests; 0 requests means no limit.
    """

    first: int
    stride: int
    connections: int
    request_count: int


def deal(workers: int, connections: int, requests: int) -> list[Share]:
    """Return shares for this many workers (or agents); nothing is lost and nothing is sent twice.

    Connection g belongs to worker g modulo the number of workers. Requests are dealt to the connections in turn, which is
    also the order in which a schedule sends them. There are never more shares than connections, and never more connections
    than requests.
    """
    if requests:
        connections = min(connections, requests)
    stride = min(workers, connections)
    rounds, rest = divmod(requests, connections)
    return [
        Share(
            first=worker,
            stride=stride,
            connections=(own := _count(worker, stride, connections)),
            request_count=rounds * own + _count(worker, stride, rest),
        )
        for worker in range(stride)
    ]


def request_order(weights: Sequence[int]) -> list[int]:
    """Return which request is sent first, second, ... in one round: each as often as its weight, evenly spread.

    This is nginx's smooth weighted round robin: at every step each request earns its weight as credit, and the one with the
    most credit is sent and pays the sum of all weights.
    """
    total = sum(weights)
    credit = [0] * len(weights)
    order = []
    for _ in range(total):
        credit = [balance + weight for balance, weight in zip(credit, weights, strict=True)]
        richest = max(range(len(weights)), key=credit.__getitem__)
        credit[richest] -= total
        order.append(richest)
    return order


def _count(first: int, stride: int, limit: int) -> int:
    """Return how many of first, first + stride, ... are below the limit."""
    return max(0, -((first - limit) // stride))
