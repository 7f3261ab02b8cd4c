"""A cluster as the engine speaks with it: calls by path that take and give plain JSON; a refusal is one line with its cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from heyfleet.deploy.provider import DeployError

Json = dict[str, Any]

_PAGE = 500
_TIMEOUT_S = 30
_NAMESPACE_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Refused(DeployError):
    """The server answered, and said no."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        self.server = str(client.configuration.host)

    @property
    def jobs(self) -> str:
        """Path of all Jobs."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def core(self, kind: str) -> str:
        """Path of all pods, secrets or events."""
        return f"/api/v1/namespaces/{self.namespace}/{kind}"

    def call(self, method: str, path: str, body: Json | None = None, **query: object) -> Json:
        """The answer's JSON. DeployError: `Refused` for what the server refuses."""
        text = self._text(method, path, body, query)
        try:
            found: Json = json.loads(text)
        except ValueError:
            raise DeployError(
                f"{self.server} does not answer as a Kubernetes server: check the context"
            ) from None
        return found

    def text(self, path: str, **query: object) -> str:
        """Of an answer that is no JSON: a log."""
        return self._text("GET", path, None, query)

    def all(self, path: str, selector: str = "") -> list[Json]:
        """The items of a list, page by page, so that thousands of pods are no burden to the server."""
        items: list[Json] = []
        more = ""
        while True:
            query: Json = {"labelSelector": selector, "limit": _PAGE, "continue": more}
            query = {name: value for name, value in query.items() if value}
            page = self.call("GET", path, None, **query)
            items += page.get("items") or []
            more = page.get("metadata", {}).get("continue", "")
            if not more:
                return items

    def version(self) -> tuple[int, int]:
        """Of the server; (0, 0) where it does not say."""
        try:
            said = self.call("GET", "/version")
            return int(said["major"]), int("".join(c for c in said["minor"] if c.isdigit()))
        except (Refused, KeyError, ValueError):
            return 0, 0

    def _text(self, method: str, path: str, body: Json | None, query: Json) -> str:
        from urllib3.exceptions import HTTPError

        try:
            asked = self._client.param_serialize(
                method,
                path + (f"?{urlencode(query)}" if query else ""),
                header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*asked, _request_timeout=_TIMEOUT_S)
            text = bytes(answer.read()).decode(errors="replace")
        except (HTTPError, OSError) as error:
            raise DeployError(
                f"{self.server} can't be reached ({_short(error)}): check the context and the network"
            ) from None
        except Exception as error:
            # The client has a class of its own for what its TLS refuses, and throws others of its plugins.
            raise DeployError(f"{self.server}: {type(error).__name__}: {_short(error)}") from None
        if not 200 <= answer.status < 300:
            raise Refused(self._refusal(method, path, answer.status, text), int(answer.status))
        return text

    def _refusal(self, method: str, path: str, status: int, text: str) -> str:
        try:
            said = str(json.loads(text).get("message", ""))
        except (ValueError, AttributeError):
            said = text
        said = " ".join(said.split())[:300] or f"status {status}"
        where = path.rpartition(f"/namespaces/{self.namespace}/")[2]
        if status == 403 and "exceeded quota" in said:
            cure = "fewer agents, less --with cpu or memory, or a larger quota"
        else:
            cure = {
                401: "log in to the cluster again: its credentials are missing or too old",
                403: "ask for the Role that --dry-run prints",
                404: f"is there a namespace {self.namespace!r}? kubectl create namespace {self.namespace}",
                409: "a fleet of this name is there: heyfleet fleet down, or another --name",
                422: "the cluster does not take such a setting",
                429: "the server is busy: try again later",
            }.get(status, "see the cluster's own log")
        return f"{method} {where} in namespace {self.namespace}: {said}; {cure}"


def connect(context: str, namespace: str) -> Cluster:
    """By a context of the user's kubeconfig, or from inside a pod. DeployError with the cure."""
    from kubernetes import client
    from kubernetes import config as untyped

    config: Any = untyped
    try:
        made = client.Configuration()
        made.retries = False
        if not context and _NAMESPACE_IN_POD.exists() and not _has_kubeconfig():
            config.load_incluster_config(client_configuration=made)
            default = _NAMESPACE_IN_POD.read_text().strip()
        else:
            config.load_kube_config(context=context or None, client_configuration=made)
            contexts, active = config.list_kube_config_contexts()
            chosen = next((each for each in contexts if each["name"] == context), active)
            default = chosen["context"].get("namespace", "")
    except config.ConfigException as error:
        raise DeployError(
            f"no cluster: {_short(error)}; set KUBECONFIG or --with context=NAME (kubectl config get-contexts)"
        ) from None
    return Cluster(client.ApiClient(made), namespace or default or "default")


def _has_kubeconfig() -> bool:
    from kubernetes.config import kube_config

    return any(Path(p).expanduser().exists() for p in kube_config.KUBE_CONFIG_DEFAULT_LOCATION.split(":"))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
