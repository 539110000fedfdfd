"""Caption scores equal pycocoevalcap's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from sarbench.errors import ScoreError
from sarbench.score.captions import Pair, bleu, cider, rouge_l
from stack.released import COMPLEX, CONCISE

WORDS = st.sampled_from(["a", "A", "ship", "ships", "river", "river,", "beside", "the", "bridge.", "é", "\u00a0", "-"])
SENTENCES = st.lists(WORDS, max_size=14).map(" ".join)
TEXTS = st.one_of(SENTENCES, SENTENCES, st.text(max_size=40))
PAIRS = st.lists(st.builds(Pair, TEXTS, TEXTS), min_size=1, max_size=12).filter(
    lambda pairs: any(pair.truth.split() for pair in pairs)  # pycocoevalcap fails where no reference has a word
)


def theirs(pairs: Sequence[Pair]) -> tuple[list[float], list[float], list[float]]:
    """BLEU-1…4, and ROUGE-L and CIDEr of each pair, as the authors' script has them computed."""
    truths = {place: [pair.truth] for place, pair in enumerate(pairs)}
    answers = {place: [pair.answer] for place, pair in enumerate(pairs)}
    return (
        Bleu(4).compute_score(truths, answers, verbose=0)[0],
        list(Rouge().compute_score(truths, answers)[1]),
        list(Cider().compute_score(truths, answers)[1]),
    )


def check(pairs: Sequence[Pair]) -> None:
    """Hold the three scores to theirs."""
    their_bleu, their_rouge, their_cider = theirs(pairs)
    assert bleu(pairs) == pytest.approx(their_bleu, abs=1e-6)
    assert [rouge_l(pair) for pair in pairs] == pytest.approx(their_rouge, abs=1e-6)
    assert cider(pairs) == pytest.approx(their_cider, abs=1e-6)


@given(PAIRS)
def test_any_captions_score_as_pycocoevalcap_scores_them(pairs: list[Pair]) -> None:
    """BLEU, ROUGE-L and CIDEr agree to 1e-6 on any strings, empty and odd ones included."""
    check(pairs)


@pytest.mark.parametrize(
    "pairs",
    [
        [Pair(truth, answer) for (_, truth), (_, answer) in zip(CONCISE, COMPLEX, strict=True)],
        [Pair(caption, caption) for _, caption in (*CONCISE, *COMPLEX)],
        [Pair("a ship", "")],
        [Pair("", ""), Pair("a ship", "a ship")],
        [Pair("Two ships.", "two ships ."), Pair("a  b", "a b"), Pair("x\ny", "x y")],
        [Pair(f"{number} ships beside the river", f"{number + 1} ships beside the river") for number in range(40)],
    ],
)
def test_known_captions_score_as_pycocoevalcap_scores_them(pairs: list[Pair]) -> None:
    """No lower-casing, no tokenizer, double spaces and lone captions: each quirk is theirs."""
    check(pairs)


def test_repeated_images_are_separate_rows() -> None:
    """Two captions of one image are two documents with one reference each, as in the authors' script."""
    once, twice = [Pair("a ship", "a ship"), Pair("a car", "a car")], [Pair("a ship", "a ship")] * 2
    assert cider(once)[0] > 0
    assert cider(twice) == [0.0, 0.0]  # words that every document has tell nothing
    check(once)
    check(twice)


def test_a_perfect_caption_has_cider_ten() -> None:
    """CIDEr lies between 0 and 10; the paper's figures are a hundred times it."""
    pairs = [Pair(caption, caption) for _, caption in (*CONCISE, *COMPLEX)]
    assert all(math.isclose(score, 10.0) for score in cider(pairs))


def test_no_captions_are_no_score() -> None:
    """A corpus of nothing has no score."""
    with pytest.raises(ScoreError, match="no captions"):
        bleu([])
    with pytest.raises(ScoreError, match="no captions"):
        cider([])
