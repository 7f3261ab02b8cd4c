"""Every option with every extreme: a plan, or one line that names the input and is no message of Python's."""

from __future__ import annotations

import re

import pytest

from heyfleet.errors import HeyfleetError
from heyfleet.plan.build import make_plan
from heyfleet.plan.conflicts import check_options
from heyfleet.plan.option_types import Option
from heyfleet.plan.options import OPTIONS, Text, options_from_texts
from heyfleet.plan.requests import with_request_specs

EXTREMES = (
    *(
        "0",
        "-1",
        "1e300",
        "nan",
        "inf",
        "1e-300",
        "0.0000000000000000000000000001",
        "",
        " ",
        "-",
        "@",
        ",",
        ":",
        "[",
    ),
    *("9" * 25, "9" * 5000, "9223372036854775807", "18446744073709551615", "4294967296", "1000M", "1000M/s"),
    *(
        "9223372036854775807ns",
        "876000h",
        "1ns",
        "0s",
        "0.000000001/s",
        "\u0663",
        "\u00fc",
        "\udce9",
        "\ud800",
        "a\nb",
    ),
    *(
        "p99<1e300",
        "errors<nan",
        "rate>1e300",
        "errors>50% for 9999999h",
        "p0.0000001<1s",
        "p99.9999999999<1s",
    ),
    *("1ns:1000M", "876000h:1,876000h:1", "users: 876000h:0-1000M", "exp:876000h", "exp:8760h", "0-876000h"),
    *("1:1:1:1", "http://", "127.0.0.1:99999", "Name: \u00e9", "::::", "*:1:1:1"),
)
# What these need beside them to get as far as a plan.
COMPANIONS: dict[str, dict[str, Text]] = {
    "rate-per-connection": {"connections": "1000M"},
    "spawn-rate": {"users": "1000M"},
    "think": {"users": "1"},
    "arrivals": {"rate": "1000M"},
    "streams": {"h2c": True},
    "data": {"template": True},
    "min-agents": {"agents": "10k"},
    "warmup": {"stages": "876000h:1"},
    "requests": {"connections": "1000M"},
}
PYTHON = re.compile(
    r"Traceback|NoneType|object at|argument|codec|out of range|\bint\b|\bfloat\b|Error\b|could not convert"
)


@pytest.mark.parametrize(
    "option", [each for each in OPTIONS if not each.is_switch], ids=lambda option: option.name
)
def test_an_extreme_becomes_a_plan_or_an_error_for_people(option: Option) -> None:
    for extreme in EXTREMES:
        texts = {**COMPANIONS.get(option.name, {}), option.name: extreme}
        try:
            options = options_from_texts(texts, "http://localhost/")
            check_options(options)
            plan = make_plan(with_request_specs(options))
        except HeyfleetError as error:
            message = str(error)
            assert option.name in message or any(flag in message for flag in option.flags), (extreme, message)
            assert not PYTHON.search(message.replace(extreme, "")), (extreme, message)
            assert "\n" not in message
        else:
            assert plan.SerializeToString()
