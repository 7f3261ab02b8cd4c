"""AWS's price list, asked for what a fleet is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.config import Config

_REGION = "us-east-1"  # where the Pricing API is, for all regions
# A subnet may have no way to it, and what a plan says does not depend on it.
_SOON = Config(connect_timeout=5, read_timeout=15)


def products(session: Any, config: Any, service: str, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Those of a service that have all these attributes."""
    pricing = session.client("pricing", region_name=_REGION, config=config.merge(_SOON))
    more: dict[str, str] = {}
    while True:
        page = pricing.get_products(
            ServiceCode=service,
            Filters=[{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()],
            MaxResults=100,
            **more,
        )
        yield from map(json.loads, page["PriceList"])
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def usd(product: dict[str, Any]) -> float:
    """What one unit of it costs on demand. KeyError, ValueError, StopIteration where that is not one number."""
    terms = product["terms"]["OnDemand"]
    (dimension,) = next(iter(terms.values()))["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"])
