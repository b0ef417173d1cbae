"""The report is a table for a person, and JSON for a pipeline."""

import json

from workload.tenancy.check.findings import Finding
from workload.tenancy.check.report import as_json, as_text

FOUND = [
    Finding("rls_disabled", "hole", "public.a\x1b[2J", "is off", "turn it on"),
    Finding("trigger", "note", "t", "calls f()", "look"),
]


def test_a_person_reads_each_with_what_to_do() -> None:
    lines = as_text(FOUND).splitlines()
    assert lines[0] == "hole  rls_disabled  public.a\\x1b[2J"
    assert lines[2] == "      → turn it on"
    assert lines[-1] == "1 hole, 1 note"
    assert as_text([]) == "0 holes, 0 notes\n"


def test_a_pipeline_reads_json() -> None:
    read = json.loads(as_json(FOUND))
    assert read["holes"] == 1
    assert read["findings"][1] == FOUND[1]._asdict()
