"""The sentences of the documents are short enough to be read once."""

import pytest

from tests.support.sentences import (
    MAX_MEAN,
    MAX_WORDS,
    PAGES,
    ROOT,
    Sentence,
    mean_words,
    report,
    sentences,
    too_long,
)

STILL_LONG = {"docs/certificates.md": 24, "docs/mtls.md": 5, "docs/soak.md": 9}
"""How many sentences of a page may be too long still. A number here only becomes smaller."""
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_is_too_long(page: str) -> None:
    found = too_long(TEXTS[page])
    shown = "\n".join(f"{page}:{each.line}: {each.words} words: {each.text}" for each in found)
    assert len(found) <= STILL_LONG.get(page, 0), f"at most {MAX_WORDS} words:\n{shown}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short_on_average(page: str) -> None:
    assert mean_words(TEXTS[page]) <= MAX_MEAN


SPLIT = {
    "two": ("It starts. Then it serves!", [2, 3]),
    "a stop inside": ("Set `a.b.c` to 1.5 s, as api.example.com does.", [8]),
    "code is one word": ("Run `make test JOBS=0 x y z` now.", [3]),
    "a stop in brackets": ("It ends (with 1.) Then comes more.", [4, 3]),
    "a link's text": ("See [what a token holds](token-rules.md#x) first.", [6]),
    "a semicolon in prose": ("It waits for one; the other waits too.", [8]),
    "a semicolon in a cell": (
        "| a b | c d |\n|---|---|\n| it waits; all wait | no word |",
        [2, 2, 2, 2, 2],
    ),
    "a picture and a block": (
        "![words that nobody counts](x.svg)\n\n```sh\nmake the demo run\n```\n",
        [],
    ),
    "lines of one paragraph": ("It starts\nand serves.", [4]),
    "a heading": ("## Rotate a key\nDo it.", [3, 2]),
    "a list": ("- One more\n- and two more", [2, 3]),
    "marks alone": ("- ! \n- 1", []),
}


@pytest.mark.parametrize(("text", "words"), SPLIT.values(), ids=SPLIT)
def test_what_a_sentence_is(text: str, words: list[int]) -> None:
    assert [each.words for each in sentences(text)] == words


def test_one_word_too_many_is_found_with_its_line() -> None:
    just, over = " ".join(["word"] * MAX_WORDS), " ".join(["word"] * (MAX_WORDS + 1))
    assert too_long(f"{just}.\n\n{over}.") == [Sentence(3, f"{over}.")]


def test_the_report_names_every_page() -> None:
    told = report().splitlines()
    assert {line.split()[-1] for line in told[1:]} == set(PAGES)
    assert told[0].split() == ["mean", "longest", "over", str(MAX_WORDS), "page"]
