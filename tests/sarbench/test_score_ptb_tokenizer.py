"""Tokens of captions, compared with those of pycocoevalcap's Java tokenizer."""

from __future__ import annotations

import shutil

import pytest
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from sarbench.score.ptb_tokenizer import ptb_tokenize
from support.sarlang_fixture import COMPLEX, CONCISE

CAPTIONS = (
    *(caption for _, caption in (*CONCISE, *COMPLEX)),
    "",
    "Two ships, one harbor; and a road.",
    "The U.S. base isn't near the river.",
    "A forest/park area with trees (dense) [two] {one}.",
    "There are 1,024 cars and 3.5 ha of field, 3.5km long.",
    "A well-known ground-track field; a 2-storey building.",
    "The ship's deck, and ships' wakes.",
    "It cannot be seen; don't count it! They're cars, we've seen, he'd go.",
    '**Bold** caption with `code` and "quoted" text',
    "An image with 10% water & 5 m² land",
    "Buildings \u2014 tall ones \u2013 near the dock... -- and a pier",
    "e.g. ships, tanks, etc. are visible",
    "Ships, trees, etc.",
    "A building at 12:30 p.m.",
    "North-east/south-west runway #3, the bridge/road/river",
    "5th street and 1st avenue, the 1990s",
    "ships,tanks,cars",
    "A river.A road",
    "St. Louis and Mr. Smith live near Dr. Who",
    "100km long, 20m wide, a 512x512 image",
    "A \u2018small\u2019 house",
    "co-located tanks_and pipes",
    "$100 and €5",
    "This area (approx. 5 km) is urban.",
    "What is this?! A ship!!",
    "left -> right, ~50 ships, a+b=c",
    "end.\nNext line",
)


@pytest.mark.skipif(shutil.which("java") is None, reason="the oracle is a Java program")
def test_tokens_equal_those_of_pycocoevalcap() -> None:
    """Contractions, hyphens, slashes, numbers, abbreviations, quotes, and brackets give the tokens of the oracle."""
    expected = PTBTokenizer().tokenize({index: [{"caption": caption}] for index, caption in enumerate(CAPTIONS)})
    for index, caption in enumerate(CAPTIONS):
        assert ptb_tokenize(caption) == expected[index][0], caption


def test_case_and_punctuation_dont_count() -> None:
    """A caption in other case and without its final period has the same tokens."""
    assert ptb_tokenize("A river, and a Bridge.") == ptb_tokenize("a river and a bridge") == "a river and a bridge"
