"""Where instances fetch the bundle: an existing URL, or an object in a bucket that lives as long as the fleet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heyfleet.errors import DeployError
from heyfleet.files import read_file

_PREFIX = "heyfleet/"
_URL_VALID_S = 3600  # instances fetch the bundle at boot


@dataclass(frozen=True, slots=True)
class BundleSource:
    """What an instance needs to fetch the bundle and verify it."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleObject:
    """An object of ours in the bucket."""

    key: str
    fleet: str
    expires_s: float
    """When the fleet ends, in seconds since 1970."""


class BundleStore:
    """The bundle that the settings name, and the bucket that holds it for fleets.

    An object's key is `heyfleet/FLEET/EXPIRES/FILE`, so it needs no tags.
    """

    def __init__(self, s3: Any, bucket: str, bundle: str, sha256: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._bundle = bundle
        self._sha256 = sha256

    def check(self) -> None:
        """Raise DeployError if the settings don't fit together."""
        if self._bundle.startswith(("https://", "http://")):
            if not self._sha256:
                raise DeployError("bundle: a URL needs --with sha256=...", "sha256sum FILE prints it")
        elif not self._bundle:
            raise DeployError(
                "bundle: none is named",
                "use --with bundle=FILE with a file that `make bundle` made, or a URL with sha256",
            )
        elif not Path(self._bundle).is_file():
            raise DeployError(
                f"bundle: there is no file {self._bundle}", "`make bundle` in a checkout makes it"
            )
        elif not self._bucket:
            raise DeployError(
                "bucket: none is named",
                "use --with bucket=NAME for instances to fetch the bundle from, or give the bundle as a URL",
            )

    def offer(self, fleet: str, expires_s: int) -> BundleSource:
        """Upload the bundle unless it has a URL, and return where to fetch it."""
        if "://" in self._bundle:
            return BundleSource(self._bundle, self._sha256)
        path = Path(self._bundle)
        content = read_file(path, "bundle", pipes=False)
        key = f"{_PREFIX}{fleet}/{expires_s}/{path.name}"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content)
        url = self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=_URL_VALID_S
        )
        return BundleSource(url, hashlib.sha256(content).hexdigest())

    def objects(self) -> list[BundleObject]:
        """Return the objects of all fleets in the bucket."""
        if not self._bucket:
            return []
        objects = []
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_PREFIX)
        for page in pages:
            for entry in page.get("Contents", ()):
                parts = str(entry["Key"]).split("/")
                if len(parts) == 4 and parts[2].isdecimal():
                    objects.append(BundleObject(entry["Key"], parts[1], float(parts[2])))
        return objects

    def remove(self, key: str) -> None:
        """Delete an object."""
        self._s3.delete_object(Bucket=self._bucket, Key=key)
