"""The state of pods and Jobs, and in a few words why a pod has not started or has ended."""

from __future__ import annotations

from typing import Any

from heyfleet.deploy.provider import ENDED, RUNNING, STARTING, UNKNOWN
from heyfleet.text import brief

Json = dict[str, Any]

_STATES = {"Pending": STARTING, "Running": RUNNING, "Succeeded": ENDED, "Failed": ENDED}


def pod_state(pod: Json) -> tuple[str, str]:
    """Return a pod's state and the reason for it."""
    status = pod.get("status", {})
    state = _STATES.get(status.get("phase", "Pending"), UNKNOWN)
    reasons = []
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting") or {}
        terminated = container.get("state", {}).get("terminated") or {}
        if waiting.get("reason", "ContainerCreating") not in ("ContainerCreating", "PodInitializing"):
            reasons.append(_describe(waiting["reason"], waiting.get("message", "")))
        if terminated and (terminated.get("exitCode") or terminated.get("reason") not in (None, "Completed")):
            reasons.append(f"{terminated.get('reason', 'Error')}, exit code {terminated.get('exitCode')}")
    if status.get("reason"):
        reasons.append(_describe(status["reason"], status.get("message", "")))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reasons.append(_describe(condition.get("reason", ""), condition.get("message", "")))
    return state, "; ".join(reasons)


def job_failure(job: Json) -> str:
    """Return why a Job failed, or an empty string if it has not."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return _describe(condition.get("reason", ""), condition.get("message", ""))
    return ""


def job_has_ended(job: Json) -> bool:
    """Return whether a Job has failed or is complete."""
    return any(
        condition.get("type") in ("Failed", "Complete") and condition.get("status") == "True"
        for condition in job.get("status", {}).get("conditions") or []
    )


def creation_failure(events: list[Json], job: str) -> str:
    """Return why a Job's pods could not be created; only events tell about quotas and admission."""
    messages = [
        str(event.get("message", ""))
        for event in events
        if event.get("involvedObject", {}).get("name") == job and event.get("reason") == "FailedCreate"
    ]
    return _describe("FailedCreate", messages[-1]) if messages else ""


def _describe(reason: str, message: str) -> str:
    message = brief(str(message))
    return f"{reason}: {message}" if message and message != reason else str(reason)
