"""Every option with every extreme: a plan, or one line that names the input and is no message of Python's."""

from __future__ import annotations

import re

import pytest

from heyfleet.errors import HeyfleetError, InputError
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
        "87600h",
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
    *("1ns:1000M", "87600h:1,87600h:1", "users: 87600h:0-1000M", "exp:87600h", "exp:876h", "0-87600h"),
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
    "warmup": {"stages": "87600h:1"},
    "requests": {"connections": "1000M"},
}
PYTHON = re.compile(
    r"Traceback|NoneType|object at|argument|codec|out of range|\bint\b|\bfloat\b|Error\b|could not convert"
)


@pytest.mark.parametrize(
    "texts",
    [
        {"slo": "p99[\udce9]<1s"},
        {"abort-on": "p99[\udce9]<1s"},
        {"proxy": "http://\udce9:x@127.0.0.1:1"},
        {"proxy": "http://%E9:x@127.0.0.1:1"},
        {"user": "\ud800:x"},
    ],
)
def test_text_that_is_not_utf_8_is_refused_where_a_plan_has_only_text(texts: dict[str, Text]) -> None:
    with pytest.raises(InputError, match=r"not UTF-8|surrogate") as caught:
        make_plan(options_from_texts(texts, "http://localhost/"))
    assert "codec" not in str(caught.value)


@pytest.mark.parametrize("path", ["/\ud800", "/{csv:\ud800}"])
def test_half_of_a_surrogate_pair_in_a_url_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="half of a surrogate pair"):
        make_plan(options_from_texts({}, f"http://localhost{path}"))


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
