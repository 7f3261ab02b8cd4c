"""Prices from AWS's price list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from heyfleet.deploy.aws.client import AwsSession

_REGION = "us-east-1"  # where the Pricing API is, for the prices of all regions
# Short: a subnet may have no route to it, and a plan can do without a price.
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 15


def products(session: AwsSession, service: str, attributes: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the products of a service that have all these attributes. Raises boto's errors."""
    pricing = session.pricing_client(_REGION, _CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)
    next_page: dict[str, str] = {}
    while True:
        page = pricing.get_products(
            ServiceCode=service,
            Filters=[
                {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in attributes.items()
            ],
            MaxResults=100,
            **next_page,
        )
        yield from map(json.loads, page["PriceList"])
        if not page.get("NextToken"):
            return
        next_page = {"NextToken": page["NextToken"]}


def usd_per_unit(product: dict[str, Any]) -> float:
    """Return a product's on-demand price. Raises KeyError, ValueError or StopIteration if it is not one number."""
    terms = product["terms"]["OnDemand"]
    (dimension,) = next(iter(terms.values()))["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"])
