"""A client for one namespace of a Kubernetes cluster: calls by path that take and return plain JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from heyfleet.errors import DeployError
from heyfleet.text import brief

Json = dict[str, Any]

_PAGE = 500
_TIMEOUT_S = 30
# What the kubernetes package raises for a kubeconfig that is not one; it checks little of what it reads.
_MALFORMED = (OSError, ValueError, TypeError, LookupError, AttributeError)
_NAMESPACE_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ApiError(DeployError):
    """An error that the API server answered with."""

    def __init__(self, cause: str, cure: str, status: int) -> None:
        super().__init__(cause, cure)
        self.status = status


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        self.server = str(client.configuration.host)

    @property
    def jobs(self) -> str:
        """The path of all Jobs."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def core(self, kind: str) -> str:
        """Return the path of all pods, secrets or events."""
        return f"/api/v1/namespaces/{self.namespace}/{kind}"

    def call(self, method: str, path: str, body: Json | None = None, **query: object) -> Json:
        """Return the JSON of a response. Raises ApiError for an error status, DeployError otherwise."""
        text = self._request(method, path, body, query)
        try:
            document: Json = json.loads(text)
        except ValueError:
            raise DeployError(f"{self.server} is not a Kubernetes API server", "check the context") from None
        return document

    def text(self, path: str, **query: object) -> str:
        """Return a response that is not JSON, such as a log."""
        return self._request("GET", path, None, query)

    def all(self, path: str, selector: str = "") -> list[Json]:
        """Return the items of a list, read page by page so that thousands of pods don't burden the server."""
        items: list[Json] = []
        next_page = ""
        while True:
            query: Json = {"labelSelector": selector, "limit": _PAGE, "continue": next_page}
            query = {name: value for name, value in query.items() if value}
            page = self.call("GET", path, None, **query)
            items += page.get("items") or []
            next_page = page.get("metadata", {}).get("continue", "")
            if not next_page:
                return items

    def version(self) -> tuple[int, int]:
        """Return the server's major and minor version, or (0, 0) if it is unknown."""
        try:
            version = self.call("GET", "/version")
            return int(version["major"]), int("".join(c for c in version["minor"] if c.isdigit()))
        except (ApiError, KeyError, ValueError):
            return 0, 0

    def _request(self, method: str, path: str, body: Json | None, query: Json) -> str:
        from urllib3.exceptions import HTTPError

        try:
            request = self._client.param_serialize(
                method,
                path + (f"?{urlencode(query)}" if query else ""),
                header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._client.call_api(*request, _request_timeout=_TIMEOUT_S)
            text = bytes(response.read()).decode(errors="replace")
        except (HTTPError, OSError) as error:
            raise DeployError(
                f"{self.server} can't be reached ({_one_line(error)})", "check the context and the network"
            ) from None
        except Exception as error:
            # The client has a class of its own for TLS errors, and its authentication plugins raise others.
            raise DeployError(f"{self.server}: {type(error).__name__}: {_one_line(error)}") from None
        if not 200 <= response.status < 300:
            raise self._api_error(method, path, int(response.status), text)
        return text

    def _api_error(self, method: str, path: str, status: int, text: str) -> ApiError:
        try:
            message = str(json.loads(text).get("message", ""))
        except (ValueError, AttributeError):
            message = text
        message = brief(message) or f"status {status}"
        resource = path.rpartition(f"/namespaces/{self.namespace}/")[2]
        if status == 403 and "exceeded quota" in message:
            cure = "use fewer agents or less --with cpu or memory, or ask for a larger quota"
        else:
            cure = {
                401: "log in to the cluster again: its credentials are missing or expired",
                403: "ask for the Role that --dry-run prints",
                404: f"check the namespace {self.namespace!r}, or create it: kubectl create namespace {self.namespace}",
                409: "a fleet of this name exists: use heyfleet fleet down, or another --name",
                422: "the cluster does not accept one of the settings",
                429: "the server is busy: try again later",
            }.get(status, "see the cluster's own log")
        return ApiError(f"{method} {resource} in namespace {self.namespace}: {message}", cure, status)


def connect(context: str, namespace: str) -> Cluster:
    """Connect by a context of the user's kubeconfig, or from inside a pod. Raises DeployError."""
    import yaml
    from kubernetes import client
    from kubernetes import config as untyped

    config: Any = untyped
    try:
        configuration = client.Configuration()
        configuration.retries = False
        if not context and _NAMESPACE_IN_POD.exists() and not _has_kubeconfig():
            config.load_incluster_config(client_configuration=configuration)
            default = _NAMESPACE_IN_POD.read_text().strip()
        else:
            config.load_kube_config(context=context or None, client_configuration=configuration)
            contexts, active = config.list_kube_config_contexts()
            chosen = next((each for each in contexts if each["name"] == context), active)
            default = chosen["context"].get("namespace", "")
    except config.ConfigException as error:
        raise DeployError(
            f"no cluster is configured: {_one_line(error)}",
            "set KUBECONFIG, or use --with context=NAME (kubectl config get-contexts lists them)",
        ) from None
    except (*_MALFORMED, yaml.YAMLError) as error:
        files = os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise DeployError(
            f"the kubeconfig {files} can't be used: {_one_line(error) or type(error).__name__}",
            "correct it, or set KUBECONFIG (kubectl config view checks it)",
        ) from None
    return Cluster(client.ApiClient(configuration), namespace or default or "default")


def _has_kubeconfig() -> bool:
    from kubernetes.config import kube_config

    return any(Path(p).expanduser().exists() for p in kube_config.KUBE_CONFIG_DEFAULT_LOCATION.split(":"))


def _one_line(error: Exception) -> str:
    return brief(str(error), 200)
