"""Where instances get the bundle from: a URL that is there, or an object that is in a bucket for as long as the fleet."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from heyfleet.deploy.provider import DeployError

_PREFIX = "heyfleet/"
_URL_VALID_S = 3600  # instances fetch it when they boot


class BundleStore:
    """The bundle of one setting, and the bucket that holds it for fleets. The end of a fleet is in the object's key."""

    def __init__(self, s3: Any, bucket: str, bundle: str, sha256: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._bundle = bundle
        self._sha256 = sha256

    def check(self) -> None:
        """DeployError where the settings don't fit together."""
        if self._bundle.startswith("https://") or self._bundle.startswith("http://"):
            if not self._sha256:
                raise DeployError(
                    "bundle: with a URL, --with sha256=... says what it must be (sha256sum FILE)"
                )
        elif not self._bundle:
            raise DeployError("bundle: --with bundle=FILE that `make bundle` made, or a URL with sha256")
        elif not Path(self._bundle).is_file():
            raise DeployError(f"bundle: there is no {self._bundle}; `make bundle` in a checkout makes it")
        elif not self._bucket:
            raise DeployError(
                "bucket: --with bucket=NAME, from which instances fetch the bundle; or name its URL"
            )

    def offer(self, fleet: str, expires_s: int) -> tuple[str, str]:
        """A URL for instances, and the SHA-256 of what is there."""
        if "://" in self._bundle:
            return self._bundle, self._sha256
        path = Path(self._bundle)
        content = path.read_bytes()
        key = f"{_PREFIX}{fleet}/{expires_s}/{path.name}"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content)
        url = self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=_URL_VALID_S
        )
        return url, hashlib.sha256(content).hexdigest()

    def objects(self) -> list[tuple[str, str, float]]:
        """Of each object of ours in the bucket: key, fleet, and when the fleet ends."""
        if not self._bucket:
            return []
        found = []
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_PREFIX)
        for page in pages:
            for each in page.get("Contents", ()):
                parts = str(each["Key"]).split("/")
                if len(parts) == 4 and parts[2].isdecimal():
                    found.append((each["Key"], parts[1], float(parts[2])))
        return found

    def remove(self, key: str) -> None:
        """Delete an object."""
        self._s3.delete_object(Bucket=self._bucket, Key=key)
