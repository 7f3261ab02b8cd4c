"""JUnit's XML, as CI systems read it: a test case for each threshold, the ledger and the trust."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from heyfleet.results.export.run_view import RunView
from heyfleet.results.summary import Summary
from heyfleet.results.thresholds import PASSED
from heyfleet.results.trust import BAD
from heyfleet.text import printable


def junit(view: RunView) -> Iterator[str]:
    """Return the XML of the whole run. XML has no way to write control characters, not even escaped."""
    summary = view.summary
    cases = _cases(summary)
    failures = sum(bool(reason) for _, reason in cases)
    seconds = f"{summary.total_ns / 1e9:.3f}"
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "time": seconds}
    suites = Element("testsuites", {"name": "heyfleet", **counts})
    name = printable(view.run.url) or "heyfleet"
    suite = SubElement(
        suites,
        "testsuite",
        {"name": name, **counts, "skipped": "0", "timestamp": printable(view.run.started_at)[:19]},
    )
    for text, reason in ((printable(text), printable(reason)) for text, reason in cases):
        case = SubElement(suite, "testcase", {"name": text, "classname": name, "time": seconds})
        if reason:
            SubElement(case, "failure", {"message": reason, "type": "threshold"}).text = reason
    indent(suites)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _cases(summary: Summary) -> list[tuple[str, str]]:
    """Return the name of each test case, and why it failed or ""."""
    cases = [
        (verdict.text, "" if verdict.result == PASSED else verdict.explanation)
        for verdict in summary.thresholds
    ]
    if summary.aborted_by:
        cases.append(("the load was not aborted", summary.aborted_by))
    untrusted = summary.trust.verdict == BAD
    return [
        *cases,
        ("requests are answered", "" if summary.ledger.responses else "no request was answered"),
        ("the numbers add up", "; ".join(summary.ledger.faults)),
        ("the generator can be trusted", "; ".join(summary.trust.reasons) if untrusted else ""),
    ]
