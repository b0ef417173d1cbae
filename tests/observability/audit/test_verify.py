"""What verification finds in a doctored trail, and where; in a whole one it finds nothing."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.observability.audit import signed_heads
from sidecar.observability.audit import verify as module
from sidecar.observability.audit.chain import (
    BEGAN,
    FOREIGN,
    LOST,
    SINK_DROPPED,
    Head,
    chain_lines,
    read_link,
    trail_line,
)
from sidecar.observability.audit.chain_file import foreign_fields
from sidecar.observability.audit.findings import FindingKind, TrailReport
from tests.observability.audit.signed_trail import (
    START,
    SignedTrail,
    Signer,
    decision,
    rechained,
    verify,
)

Lines = list[bytes]
TIME = "2026-11-26T03:00:00.000+00:00"


def fresh(count: int = 100) -> Lines:
    return SignedTrail().lines(count)


def problems(report: TrailReport) -> list[tuple[FindingKind, int]]:
    return [(each.kind, each.line) for each in report.findings if each.is_problem]


def notices(report: TrailReport) -> list[tuple[FindingKind, int]]:
    return [(each.kind, each.line) for each in report.findings if not each.is_problem]


@pytest.mark.parametrize("chunk", [1, 7, 1000, 10**9])
def test_a_trail_that_holds(chunk: int) -> None:
    report = verify(b"".join(fresh(40 if chunk < 10 else 100)), chunk=chunk)
    assert report.is_whole
    assert not report.findings
    assert report.signatures_checked
    (trail,) = report.trails
    assert (trail.first_seq, trail.last_seq) == (1, report.lines)
    assert (trail.checkpoints, trail.signed_to) == (report.lines // 11, report.lines - 1)


def altered(lines: Lines) -> Lines:
    lines[41] = lines[41].replace(b"/api/", b"/apj/")
    return lines


def altered_and_reckoned_anew(lines: Lines) -> Lines:
    before = lines[40][-67:-3]
    (lines[41],) = rechained(altered(lines)[41:42], Head(b"0123456789abcdef", 41, before))
    return lines


def all_reckoned_anew(lines: Lines) -> Lines:
    altered(lines)
    return rechained(lines, Head(b"0123456789abcdef"))


def swapped(lines: Lines) -> Lines:
    lines[41], lines[42] = lines[42], lines[41]
    return lines


def with_another_checkpoint(lines: Lines) -> Lines:
    doctored = lines[43].replace(b"time 2026", b"time 2025")
    assert doctored != lines[43]
    (lines[43],) = rechained([doctored], Head(b"0123456789abcdef", 43, lines[42][-67:-3]))
    return lines[:44]


def with_a_replaced_key(lines: Lines) -> Lines:  # noqa: ARG001 - one of the doctorings
    return SignedTrail(signer=Signer(seed=2)).lines(100)


def without_checkpoints(lines: Lines) -> Lines:
    kept = [each for each in lines if b'"checkpoint"' not in each]
    return rechained(kept, Head(b"0123456789abcdef"))


def with_old_checkpoints(lines: Lines) -> Lines:
    """The tail is written anew, and of the checkpoints only those that fit are left."""
    tail = [each for each in lines[44:] if b'"checkpoint"' not in each]
    return lines[:44] + rechained(tail, Head(b"0123456789abcdef", 44, lines[43][-67:-3]))


DOCTORED: dict[str, tuple[Callable[[Lines], Lines], list[tuple[FindingKind, int]]]] = {
    "altered": (altered, [(FindingKind.ALTERED, 42)]),
    "altered and reckoned anew": (altered_and_reckoned_anew, [(FindingKind.ALTERED, 43)]),
    "altered, and the rest reckoned anew": (
        all_reckoned_anew,
        [(FindingKind.REWRITTEN, 11 * n) for n in range(4, 11)] + [(FindingKind.UNSIGNED, 0)],
    ),
    "removed": (lambda lines: lines[:41] + lines[42:], [(FindingKind.MISSING, 42)]),
    "a part removed": (lambda lines: lines[:41] + lines[63:], [(FindingKind.MISSING, 42)]),
    "inserted without a link": (
        lambda lines: [*lines[:41], decision(7, START), *lines[41:]],
        [(FindingKind.INSERTED, 42)],
    ),
    "inserted with a link": (
        lambda lines: [
            *lines[:41],
            *rechained(lines[3:4], Head(b"0123456789abcdef", 41, lines[40][-67:-3])),
            *lines[41:],
        ],
        [(FindingKind.INSERTED, 43), (FindingKind.ALTERED, 44)],
    ),
    "garbage inserted": (
        lambda lines: [*lines[:41], b"\0\xff\n", b"\n", *lines[41:]],
        [(FindingKind.INSERTED, 42)],
    ),
    "swapped": (swapped, [(FindingKind.MISSING, 42), (FindingKind.MOVED, 43)]),
    "moved": (
        lambda lines: [*lines[:17], *lines[18:60], lines[17], *lines[60:]],
        [(FindingKind.MISSING, 18), (FindingKind.MOVED, 60)],
    ),
    "repeated": (
        lambda lines: lines[:60] + lines[30:40] + lines[60:],
        [(FindingKind.REPEATED, 61)],
    ),
    "of another trail": (
        lambda lines: lines[:41] + SignedTrail(trail=b"f" * 16).lines(50)[30:40] + lines[41:],
        [(FindingKind.SPLICED, 42)],
    ),
    "a checkpoint altered": (with_another_checkpoint, [(FindingKind.FORGED, 44)]),
    "the key replaced": (
        with_a_replaced_key,
        [(FindingKind.KEY_UNKNOWN, 11 * n) for n in range(1, 11)] + [(FindingKind.UNSIGNED, 0)],
    ),
    "no checkpoints": (without_checkpoints, [(FindingKind.UNSIGNED, 0)]),
    "no more checkpoints": (with_old_checkpoints, [(FindingKind.UNSIGNED, 0)]),
    "the first line altered": (
        lambda lines: [lines[0].replace(b"/api/", b"/apj/"), *lines[1:]],
        [(FindingKind.ALTERED, 1)],
    ),
    "all links removed": (
        lambda _lines: [decision(n, START) for n in range(9)],
        [(FindingKind.UNCHAINED, 9)],
    ),
    "nothing left": (lambda _lines: [], [(FindingKind.UNCHAINED, 0)]),
}


@pytest.mark.parametrize("name", DOCTORED)
def test_what_was_done_to_a_file_is_found_and_where(name: str) -> None:
    doctor, found = DOCTORED[name]
    report = verify(b"".join(doctor(fresh())))
    expected_trail = [each for each in problems(report) if each != (FindingKind.UNSIGNED, 0)]
    assert not report.is_whole
    assert expected_trail == [each for each in found if each != (FindingKind.UNSIGNED, 0)]
    if name != "of another trail":  # whose own lines are signed by nothing that is there
        assert problems(report) == found


def test_a_finding_names_its_line_its_time_and_the_decisions_around_it() -> None:
    report = verify(b"".join(altered(fresh())))
    (found,) = report.findings
    assert (found.file, found.line, found.last_line, found.seq) == ("file1", 42, 42, 42)
    assert found.time == "2026-11-26T03:00:39.000+00:00"
    assert (found.decision_id, found.after_decision_id) == ("d39", "d38")
    (found,) = verify(b"".join(DOCTORED["repeated"][0](fresh()))).findings
    assert (found.line, found.last_line) == (61, 70)


def test_an_end_that_was_cut_off_is_found_by_a_checkpoint_that_was_kept_elsewhere() -> None:
    trail = SignedTrail()
    lines = trail.lines(100)
    kept = trail.notes[-1]
    assert verify(b"".join(lines), external=trail.notes).is_whole
    assert verify(b"".join(lines[:66])).is_whole, "nothing in the file tells"
    report = verify(b"".join(lines[:66]), external=[kept])
    assert problems(report) == [(FindingKind.CUT, 0)]
    assert "line 109" in report.findings[0].text
    assert "end with line 66" in report.findings[0].text


def test_a_file_that_was_replaced_whole_is_found_by_a_checkpoint_that_was_kept_elsewhere() -> None:
    trail = SignedTrail()
    trail.lines(100)
    other = b"".join(SignedTrail(trail=b"f" * 16).lines(100))
    assert verify(other).is_whole
    report = verify(other, external=trail.notes)
    assert [each.kind for each in report.findings] == [FindingKind.CUT]


def test_a_rewritten_trail_is_found_by_checkpoints_kept_elsewhere_even_with_a_stolen_key() -> None:
    trail = SignedTrail()
    lines = trail.lines(100)
    again = SignedTrail()
    doctored = again.chain([decision(0, START)]) + again.lines(100)
    assert verify(b"".join(doctored)).is_whole
    report = verify(b"".join(doctored), external=[trail.notes[4]])
    assert [each.kind for each in report.findings] == [FindingKind.REWRITTEN]
    assert verify(b"".join(lines), external=[trail.notes[4]]).is_whole


def test_a_checkpoint_that_names_what_comes_or_what_is_far_behind_is_none() -> None:
    trail = SignedTrail()
    lines = trail.lines(9)
    ahead = trail.signer.note(Head(trail.head.trail, 500, b"0" * 64), trail.at)
    lines += trail.own("checkpoint", note=ahead)
    lines += trail.own("checkpoint", note="septem\n")
    assert problems(verify(b"".join(lines)))[:2] == [
        (FindingKind.REWRITTEN, 10),
        (FindingKind.UNREADABLE, 11),
    ]


def test_a_checkpoint_that_comes_too_late_to_be_compared_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sidecar.observability.audit.signed_heads.RECENT_LINES", 8)
    trail = SignedTrail(every=1000)
    lines = trail.lines(10)
    head = trail.head
    lines += trail.lines(30)
    lines += trail.own("checkpoint", note=trail.signer.note(head, trail.at))
    lines += trail.checkpoint()
    assert problems(verify(b"".join(lines))) == [(FindingKind.LATE, 41)]


def test_with_live_the_newest_checkpoint_must_be_fresh() -> None:
    lines = b"".join(fresh())
    assert verify(lines, now=START + 130).is_whole
    assert [each.kind for each in verify(lines, now=START + 161).findings] == [FindingKind.STALE]


def test_without_a_key_checkpoints_are_compared_and_signatures_are_not() -> None:
    report = verify(b"".join(fresh()), keys=())
    assert report.is_whole
    assert not report.signatures_checked
    assert not verify(b"".join(all_reckoned_anew(fresh())), keys=()).is_whole


def test_several_files_are_one_trail() -> None:
    lines = fresh()
    parts = [b"".join(lines[a:b]) for a, b in ((0, 30), (30, 60), (60, None))]
    assert not verify(*parts).findings
    report = verify(parts[0], parts[2])
    assert problems(report) == [(FindingKind.MISSING, 1)]
    assert "first of its file" in report.findings[0].text
    assert notices(verify(*parts[1:])) == [(FindingKind.BEGINS, 1)]
    assert verify(*parts[1:]).is_whole


def test_files_of_two_sidecars_are_two_trails() -> None:
    one, two = fresh(), SignedTrail(trail=b"f" * 16).lines(100)
    report = verify(b"".join(one), b"".join(two), b"")
    assert report.is_whole
    assert len(report.trails) == 2
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    report = verify(b"".join(mixed))
    assert report.is_whole, "two starts of a sidecar that write to one collector"
    assert notices(report) == [(FindingKind.TRAIL, 2)]
    del mixed[100]
    assert problems(verify(b"".join(mixed))) == [(FindingKind.MISSING, 102)]


@pytest.mark.parametrize("ended", [True, False])
def test_what_a_crash_tore_is_taken_for_what_it_is(*, ended: bool) -> None:
    trail = SignedTrail()
    lines = trail.lines(15)
    torn = b'{"time":"2026-11-26T03:0' + (b"\0\n" if ended else b"")
    own = trail.own(FOREIGN, **foreign_fields(torn))
    end = b"" if ended else b"\n"
    whole = [*lines, torn, end, *own, *trail.lines(20)]
    report = verify(b"".join(whole))
    assert report.is_whole
    assert notices(report) == [(FindingKind.TORN, 17)]
    moved_on = verify(b"".join(whole[:-21]), b"".join(whole[-21:]))
    assert moved_on.is_whole
    split = len(lines) + 1  # renamed before the line end was written
    assert verify(b"".join(whole[:split]), b"".join(whole[split:])).is_whole
    for other in (torn[:-1], torn + b"x", torn.replace(b"26", b"27")):
        assert not verify(b"".join([*lines, other, end, *whole[split + 1 :]])).is_whole


def test_half_a_line_before_a_rotation_is_written_whole_behind_it() -> None:
    lines = fresh(20)
    report = verify(b"".join(lines[:10]) + lines[10][:50], b"".join(lines[10:]))
    assert report.is_whole
    assert notices(report) == [(FindingKind.TORN, 11)]
    assert verify(b"".join(lines) + lines[10][:50]).is_whole, "a file that is just written"
    assert not verify(b"".join(lines[:10]) + lines[11][:50], b"".join(lines[10:])).is_whole


def test_lines_that_the_sidecar_lost_are_told_and_no_tampering() -> None:
    trail = SignedTrail()
    lines = trail.lines(5) + trail.own(LOST, lost=17) + trail.lines(20)
    report = verify(b"".join(lines))
    assert report.is_whole
    assert report.lost == 17
    assert notices(report) == [(FindingKind.LOST, 6)]


def dropped_by(sink: str, *, first: int = 31, last: int = 40) -> Lines:
    """A trail whose line 51 says that a sink dropped lines; nothing is missing in it."""
    trail = SignedTrail(every=25)
    lines = trail.lines(48)
    assert len(lines) == 49
    lines += trail.lines(1) + trail.own(SINK_DROPPED, sink=sink, first=first, last=last)
    return lines + trail.lines(30)


EXPLAINED: list[tuple[str, Lines, slice, str, bool]] = [
    ("by the sink's own line", dropped_by("file"), slice(30, 40), "file", True),
    ("of a sink that nobody named", dropped_by("file"), slice(30, 40), "", False),
    ("of another sink", dropped_by("kafka"), slice(30, 40), "file", False),
    ("one line more", dropped_by("file"), slice(30, 41), "file", False),
    ("one line before", dropped_by("file"), slice(29, 40), "file", False),
    ("fewer lines", dropped_by("file"), slice(31, 40), "file", False),
    ("other lines", dropped_by("file"), slice(10, 20), "file", False),
    ("with the line that says it", dropped_by("file"), slice(30, 51), "file", False),
    ("lines that are said to be before a line 0", dropped_by("file", first=0), slice(30, 40),
     "file", False),
]  # fmt: skip


@pytest.mark.parametrize("row", EXPLAINED, ids=[row[0] for row in EXPLAINED])
def test_a_gap_is_explained_by_a_line_that_names_it_and_the_sink(
    row: tuple[str, Lines, slice, str, bool],
) -> None:
    _, lines, cut, sink, is_explained = row
    held = list(lines)
    del held[cut]
    report = verify(b"".join(held), sink=sink)
    assert report.is_whole == is_explained
    (found,) = (each for each in report.findings if each.kind is not FindingKind.CUT)
    assert found.kind is (FindingKind.DROPPED if is_explained else FindingKind.MISSING)
    assert report.dropped == (10 if is_explained else 0)
    assert (report.problems, report.notices) == ((0, 1) if is_explained else (1, 0))


def test_a_gap_says_which_sink_it_may_be_of() -> None:
    lines = dropped_by("file")
    (found,) = verify(b"".join(lines[:30] + lines[40:])).findings
    assert "its sink file dropped them" in found.text
    assert "(--sink file)" in found.text


def test_what_no_gap_needs_explains_none_later() -> None:
    """A line of ours that stands before the gap it would excuse is none that we wrote so."""
    trail = SignedTrail(every=25)
    lines = trail.own(SINK_DROPPED, sink="file", first=31, last=40) + trail.lines(60)
    assert not verify(b"".join(lines[:30] + lines[40:]), sink="file").is_whole


def test_a_line_that_was_forged_is_found_by_the_checkpoints() -> None:
    """Who knows the chain cuts lines out, says so in the sidecar's words, and reckons it anew."""
    lines = SignedTrail(every=25).lines(50)
    before = read_link(lines[39][:-1])
    assert before is not None
    own = trail_line(TIME, SINK_DROPPED, "", sink="file", first=31, last=40)
    later = lines[40:]
    (later[5],) = chain_lines(before.head, [own])[0]
    report = verify(b"".join(lines[:30] + rechained(later, before.head)), sink="file")
    assert [each.kind for each in report.findings] == ["dropped", "rewritten"]
    assert not report.is_whole


def test_gaps_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_heads, "MAX_GAPS", 2)
    trail = SignedTrail(every=10**9)
    lines = trail.lines(60)
    held = [line for number, line in enumerate(lines, 1) if number not in {10, 20, 30}]
    for number in (10, 20, 30):
        held += trail.own(SINK_DROPPED, sink="file", first=number, last=number)
    held += trail.checkpoint()
    report = verify(b"".join(held), sink="file")
    assert [each.kind for each in report.findings] == ["missing", "dropped", "dropped"]


def test_lines_older_than_the_chain_are_told() -> None:
    report = verify(decision(1, START) * 3 + b"".join(fresh()))
    assert report.is_whole
    assert "3 lines are older than the chain" in report.findings[0].text


def test_a_trail_that_names_the_one_before_finds_its_end() -> None:
    one = SignedTrail()
    lines = one.lines(100)
    two = SignedTrail(trail=b"f" * 16)
    begun = two.own(BEGAN, after=one.head.text) + two.lines(100)
    assert verify(b"".join(lines + begun)).is_whole
    report = verify(b"".join(lines[:-11] + begun))
    assert problems(report) == [(FindingKind.MISSING, 100)]
    assert "lines 100 to 110" in report.findings[-1].text


@pytest.mark.parametrize("end", [b"\0", b"\r", b" ", b",", b"x"])
def test_two_lines_that_were_made_one_are_no_beginning(end: bytes) -> None:
    """The chain has no value for the first line that there is: only its form can be wrong."""
    lines = fresh(100)
    joined = [lines[0][:-1] + end + lines[1], *lines[2:]]
    assert problems(verify(b"".join(joined))) == [(FindingKind.ALTERED, 1)]
    later = verify(b"".join(lines[1:]))
    assert notices(later) == [(FindingKind.BEGINS, 1)]
    assert "can't be told" in later.findings[0].text


@pytest.mark.parametrize("first", [0, 3])
def test_a_second_trail_says_whether_its_first_line_was_checked(first: int) -> None:
    other = SignedTrail(trail=b"f" * 16).lines(100)[first:]
    report = verify(b"".join(fresh(100)), b"".join(other))
    (began,) = (each for each in report.findings if each.kind is FindingKind.TRAIL)
    assert ("can't be told" in began.text) is (first > 0)


def test_a_clock_that_goes_back_is_no_tampering() -> None:
    trail = SignedTrail()
    lines = trail.lines(25)
    trail.at -= 86_400
    lines += trail.lines(25)
    assert not verify(b"".join(lines)).findings


def test_many_trails_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_TRAILS", 3)
    monkeypatch.setattr(module, "MAX_TRAILS", 9)
    verifier = module.Verifier()
    verifier.begin_file("a")
    for number in range(30):
        verifier.read(b"".join(SignedTrail(trail=b"%016x" % number).lines(5)))
    assert len(verifier._trails) == 9
    assert sum(state.recall(3) is not None for state in verifier._trails.values()) <= 3
    assert verifier.finish().is_whole


def test_a_line_without_end_takes_bounded_memory() -> None:
    verifier = module.Verifier()
    verifier.begin_file("a")
    verifier.read(b"".join(fresh(10)))
    for _ in range(100):
        verifier.read(b"x" * 100_000)
    assert len(verifier._rest) <= module.MAX_LINE_BYTES + 100_000
    assert [each.kind for each in verifier.finish().findings] == [FindingKind.INSERTED]


WHOLE = SignedTrail(every=7).lines(40)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_change_of_a_byte_and_no_other_order_passes(data: st.DataObject) -> None:
    lines = list(WHOLE)
    how = data.draw(st.sampled_from(["byte", "remove", "repeat", "order"]))
    at = data.draw(st.integers(0, len(lines) - 2))
    if how == "byte":
        position = data.draw(st.integers(0, len(lines[at]) - 1))
        value = data.draw(st.integers(0, 255).filter(lambda v: v != lines[at][position]))
        lines[at] = lines[at][:position] + bytes([value]) + lines[at][position + 1 :]
    elif how == "remove":
        del lines[data.draw(st.integers(1, len(lines) - 2))]
    elif how == "repeat":
        lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
    else:
        shuffled = data.draw(st.permutations(lines))
        if shuffled == lines:
            return
        lines = shuffled
    report = verify(b"".join(lines), chunk=data.draw(st.sampled_from([100, 5000])))
    assert not report.is_whole
    assert all(each.line for each in report.findings if each.kind is not FindingKind.UNSIGNED)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_no_file_is_too_odd(parts: list[bytes]) -> None:
    report = verify(b"\n".join(parts), b"".join(WHOLE[5:9]) + b"".join(parts), chunk=64)
    assert report.lines >= 4
