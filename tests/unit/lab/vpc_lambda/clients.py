"""Clients in the model's own time: closed loops, as hey's workers are, without a clock or a network."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from heyfleet.lab.vpc_lambda.account import Account


class Outcome(NamedTuple):
    """Latencies in the order of the answers, with their statuses, and when the last one came."""

    latencies_s: list[float]
    statuses: list[int]
    end_s: float


def closed_loops(account: Account, count: int, workers: int, turnaround_s: float, begin_s: float) -> Outcome:
    """So many requests from workers that begin within `begin_s` and ask again so long after an answer."""
    asking = [(begin_s * worker / workers, worker) for worker in range(workers)]
    waiting: dict[int, int] = {}
    outcome = Outcome([], [], 0.0)
    end_s = 0.0
    while asking or waiting:
        next_s = account.next_s
        if asking and (next_s is None or asking[0][0] <= next_s):
            at_s, worker = heapq.heappop(asking)
            if count:
                count -= 1
                waiting[account.request(at_s).number] = worker
        else:
            assert next_s is not None
            at_s = next_s
        for call in account.advance(at_s):
            outcome.latencies_s.append(call.answered_s - call.arrived_s)
            outcome.statuses.append(call.status)
            end_s = call.answered_s
            heapq.heappush(asking, (end_s + turnaround_s, waiting.pop(call.number)))
    return outcome._replace(end_s=end_s)


def users(account: Account, count: int, a_second: float, until_s: float) -> None:
    """Users who come one after the other and ask again at once, until then."""
    asking = [(number / a_second, number) for number in range(count)]
    waiting: dict[int, int] = {}
    while asking:
        next_s = account.next_s
        if next_s is None or asking[0][0] <= next_s:
            at_s, user = heapq.heappop(asking)
            if at_s > until_s:
                return
            waiting[account.request(at_s).number] = user
        else:
            at_s = next_s
        for call in account.advance(at_s):
            heapq.heappush(asking, (call.answered_s + 0.0005, waiting.pop(call.number)))
