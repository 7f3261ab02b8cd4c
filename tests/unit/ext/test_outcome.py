"""The names of the error kinds, which go to the wire and into reports."""

import re

from heyfleet.ext import ERROR_NAMES


def test_each_error_kind_has_its_own_name() -> None:
    assert len(set(ERROR_NAMES)) == len(ERROR_NAMES) > 0


def test_what_has_no_kind_of_its_own_comes_last() -> None:
    assert ERROR_NAMES[-1] == "other"


def test_names_are_words_that_a_report_can_print() -> None:
    words = [re.sub(r"^(TLS|HTTP/2|redirect|proxy|bad content): ", "", name) for name in ERROR_NAMES]
    assert [word for word in words if not word.replace(" ", "").isalpha() or word != word.lower()] == []
