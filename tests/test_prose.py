"""The prose check finds stilted English and leaves plain technical English alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import prose
from prose_text import read_sentences

RULES = prose.read_rules()

STILTED = [
    "Nobody may ask twice.",
    "Who has workers already needs neither torch nor vLLM.",
    "What cannot work is refused with a sentence.",
    "The form is settled; what is left over goes unasked.",
    "Where no worker answers, the request waits.",
    "Whoever waits ends the survey.",
    "What hinders a start is told in one line.",
    "Requests that were not let in for want of room.",
    "The key lies beside the file.",
    "It wants API keys, or to be told `--open`.",
    "A driver that is no longer there, as there is no room.",
    "The circuit stays open and the worker is laid down.",
    "The page stands in `docs/`.",
    "A value has to be positive.",
    "That which is found is made anew.",
    "The gateway forgets the image.",
    "Looks for workers that failed.",
    "An answer may be had of any worker.",
]
PLAIN = [
    "If you already run vLLM workers, the gateway host doesn't need torch or vLLM.",
    "Requests without images, and all responses, are forwarded unchanged.",
    "Helm rejects values that can't work together and explains why.",
    "The gateway no longer listens; there is no default.",
    "What does a tile cost?",
    "Where is the ship?",
    "You can ask a question about any image.",
    "The stand-in server next to the gateway is standalone.",
    "Rate limit reached: this API key allows 600 requests per minute. Retry after 3 s.",
    "If the worker disconnects, the survey continues as an asynchronous job.",
    "Run `make serve`, and wait until the gateway is ready.",
]


def hits(path: Path) -> list[prose.Hit]:
    """Return the rated hits in one file."""
    return [hit for hit in prose.check(read_sentences(path), RULES) if hit.rule.name in prose.RATED]


@pytest.mark.parametrize("sentence", STILTED)
def test_stilted_sentences_are_found(sentence: str, tmp_path: Path) -> None:
    """Every sentence that the style guide rewrites has at least one hit."""
    (tmp_path / "page.md").write_text(f"{sentence}\n")
    assert hits(tmp_path / "page.md")


@pytest.mark.parametrize("sentence", PLAIN)
def test_plain_sentences_are_left_alone(sentence: str, tmp_path: Path) -> None:
    """Plain technical English, questions and inline code have no hits."""
    (tmp_path / "page.md").write_text(f"{sentence}\n")
    assert hits(tmp_path / "page.md") == []


def test_code_and_headings_are_not_prose(tmp_path: Path) -> None:
    """Code blocks, inline code, HTML comments and link targets aren't checked, and a heading may begin with *what*."""
    page = tmp_path / "page.md"
    page.write_text(
        "# What it does not do\n\n```bash\necho nobody\n```\n\n    nobody = 1\n\n<!-- nobody -->\n"
        "See [the page](nobody.md), or call `nobody`.\n"
    )
    assert hits(page) == []
    assert [sentence.text for sentence in read_sentences(page)] == [
        "What it does not do",
        "See the page, or call X.",
    ]


def test_lists_and_admonitions_are_prose(tmp_path: Path) -> None:
    """Indented paragraphs of a list item or an admonition are checked; an indented block elsewhere is code."""
    page = tmp_path / "page.md"
    page.write_text("!!! note\n\n    Nobody waits.\n\n- Item.\n\n    Nobody waits.\n\nText.\n\n    nobody = 1\n")
    assert [hit.sentence.line for hit in hits(page)] == [3, 7]


def test_hits_name_the_line(tmp_path: Path) -> None:
    """A hit in the third line of a paragraph, a table or a docstring is reported on its own line."""
    page = tmp_path / "page.md"
    page.write_text(
        "One sentence\nover two lines. Another\nfollows. Nobody reads it.\n\n| a | b |\n|---|---|\n| c | nobody |\n"
    )
    assert [hit.sentence.line for hit in hits(page)] == [3, 7]
    module = tmp_path / "module.py"
    module.write_text('"""Sum of things.\n\nNobody adds them.\n"""\n\nx = 1  # told twice\n')
    assert [hit.sentence.line for hit in hits(module)] == [3, 6]


def test_messages_and_comments_of_code_are_checked(tmp_path: Path) -> None:
    """Docstrings, comments, messages and f-strings count; identifiers and short strings don't."""
    module = tmp_path / "module.py"
    module.write_text(
        'nobody = "nobody"\n'
        "# The key lies here.\n"
        "# Nobody moves it.\n"
        'raise ValueError(f"{nobody} is told {1 + 1} times")\n'
    )
    assert sorted(hit.sentence.line for hit in hits(module)) == [2, 3, 4]


def test_helm_comments_and_refusals_are_checked(tmp_path: Path) -> None:
    """Comments of values and the messages of ``fail`` in templates count."""
    values = tmp_path / "values.yaml"
    values.write_text("# -- Nobody needs it.\nname: nobody\n")
    template = tmp_path / "_validate.tpl"
    template.write_text('{{- /* Told once. */}}\n{{- fail "a worker has to be named here" }}\n')
    assert [hit.sentence.line for hit in hits(values)] == [1]
    assert [hit.sentence.line for hit in hits(template)] == [1, 2]


def test_the_rate_is_per_thousand_words(tmp_path: Path) -> None:
    """Two hits in 500 words are a rate of 4, above the limit of 0.6."""
    page = tmp_path / "page.md"
    page.write_text("Nobody waits. " * 2 + "Word " * 496)
    sentences = read_sentences(page)
    words = sum(sentence.words for sentence in sentences)
    assert words == 500
    assert prose.rate(prose.check(sentences, RULES), words) == 4.0
    assert prose.LIMIT == 0.6


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The colour of the raster.", "Spelling"),
        ("Use a filter, e.g. refined Lee.", "Terms"),
        ("Read the the page.", "Repetition"),
        ("word " * 25 + "word.", "SentenceLength"),
    ],
)
def test_other_rules(text: str, rule: str, tmp_path: Path) -> None:
    """British spelling, Latin abbreviations, repeated words and sentences of 26 words are found."""
    page = tmp_path / "page.md"
    page.write_text(text)
    found = [hit for hit in prose.check(read_sentences(page), RULES) if hit.rule.name == rule]
    assert len(found) == 1
    assert "%s" not in str(found[0])


def test_25_words_are_not_too_long(tmp_path: Path) -> None:
    """A sentence of exactly 25 words passes."""
    page = tmp_path / "page.md"
    page.write_text("one two three four five " * 5)
    assert prose.check(read_sentences(page), RULES) == []
