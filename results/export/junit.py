"""A run as a test report, as CI systems read JUnit's XML: a case for each threshold, the ledger, and the trust."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from heyfleet.results.export.run_view import RunView
from heyfleet.results.thresholds import in_words
from heyfleet.results.trust import BAD


def junit(source: RunView) -> Iterator[str]:
    """The whole run, whatever part was chosen."""
    summary = source.summary
    cases = [
        (verdict.text, "" if verdict.holds else verdict.reason or in_words(verdict))
        for verdict in summary.thresholds
    ]
    if summary.aborted:
        cases.append(("the load was not aborted", summary.aborted))
    answered = "" if summary.ledger.responses else "no request was answered"
    cases += [
        ("requests are answered", answered),
        ("the numbers add up", "; ".join(summary.ledger.faults)),
        (
            "the generator can be trusted",
            "; ".join(summary.trust.reasons) if summary.trust.verdict == BAD else "",
        ),
    ]
    failures = sum(bool(reason) for _, reason in cases)
    seconds = f"{summary.total_ns / 1e9:.3f}"
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "time": seconds}
    suites = Element("testsuites", {"name": "heyfleet", **counts})
    name = str(source.run.facts.get("url", "heyfleet"))
    suite = SubElement(
        suites, "testsuite", {"name": name, **counts, "skipped": "0", "timestamp": source.run.began_at[:19]}
    )
    for text, reason in cases:
        case = SubElement(suite, "testcase", {"name": text, "classname": name, "time": seconds})
        if reason:
            SubElement(case, "failure", {"message": reason, "type": "threshold"}).text = reason
    indent(suites)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"
