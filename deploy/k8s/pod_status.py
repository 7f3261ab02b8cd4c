"""Why a pod has not started, or has ended, in a few words, of what the cluster says about it."""

from __future__ import annotations

from typing import Any

from heyfleet.deploy.provider import ENDED, RUNNING, STARTING, UNKNOWN

Json = dict[str, Any]

_STATES = {"Pending": STARTING, "Running": RUNNING, "Succeeded": ENDED, "Failed": ENDED}


def of_pod(pod: Json) -> tuple[str, str]:
    """Its state and the reason."""
    status = pod.get("status", {})
    state = _STATES.get(status.get("phase", "Pending"), UNKNOWN)
    reasons = []
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting") or {}
        ended = container.get("state", {}).get("terminated") or {}
        if waiting.get("reason", "ContainerCreating") not in ("ContainerCreating", "PodInitializing"):
            reasons.append(_joined(waiting["reason"], waiting.get("message", "")))
        if ended and (ended.get("exitCode") or ended.get("reason") not in (None, "Completed")):
            reasons.append(f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}")
    if status.get("reason"):
        reasons.append(_joined(status["reason"], status.get("message", "")))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reasons.append(_joined(condition.get("reason", ""), condition.get("message", "")))
    return state, "; ".join(reasons)


def of_job(job: Json) -> str:
    """Why it failed; empty if it did not."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return _joined(condition.get("reason", ""), condition.get("message", ""))
    return ""


def ended(job: Json) -> bool:
    """Whether it has failed or is complete."""
    return any(
        condition.get("type") in ("Failed", "Complete") and condition.get("status") == "True"
        for condition in job.get("status", {}).get("conditions") or []
    )


def of_events(events: list[Json], job: str) -> str:
    """Why its pods could not be made: quotas and admission are said nowhere else."""
    said = [
        str(event.get("message", ""))
        for event in events
        if event.get("involvedObject", {}).get("name") == job and event.get("reason") == "FailedCreate"
    ]
    return _joined("FailedCreate", said[-1]) if said else ""


def _joined(reason: str, message: str) -> str:
    message = " ".join(str(message).split())[:300]
    return f"{reason}: {message}" if message and message != reason else str(reason)
