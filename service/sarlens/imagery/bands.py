"""Which bands of an image are meant: by name, by polarisation, by number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sarlens.errors import BandMissing
from sarlens.request import Band

_POLARISATION = re.compile(r"(?<![A-Z0-9])(?:VV|VH|HH|HV|RH|RV|RR|RL|LL|LR|LH|LV|CH|CV)(?![A-Z0-9])")
_PREFERRED = ("VV", "HH")
_UNNAMED_PAIR = ("VV", "VH")


def polarisations(text: str) -> list[str]:
    """The polarisations that a text names, in its order: ``Sigma0_VV_db`` names VV."""
    return _POLARISATION.findall(text.upper())


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands of an image under every name that tells one from the others; a band may have none.

    A band is found by a name, upper or lower case, then by its 1-based number. Where an image has two bands and
    no name for either, VV and VH are the first and the second, the order in which Sentinel-1 products store them.
    """

    names: tuple[tuple[str, ...], ...]

    @classmethod
    def named(cls, names: Sequence[Sequence[str]]) -> Bands:
        """Bands from what is written on each; a text that stands on several bands names none."""
        known = [[*texts, *_single(texts)] for texts in names]
        folded = [{text.casefold() for text in texts} for texts in known]
        kept = (
            tuple(text for text in texts if sum(text.casefold() in other for other in folded) == 1) for texts in known
        )
        return cls(tuple(kept))

    def pick(self, wanted: Sequence[Band]) -> tuple[int, ...]:
        """Indexes, from 0, of the bands that are wanted.

        Raises:
            BandMissing: one of them is not there.
        """
        return tuple(self._find(band) for band in wanted)

    def default(self) -> int:
        """Index of the band that is shown when none is asked for: VV, else HH, else the first."""
        return next((index for name in _PREFERRED if (index := self._named(name)) is not None), 0)

    def label(self, index: int) -> str:
        """A band's name: its polarisation, else what is written on it, else its number."""
        names = self.names[index]
        polarised = [name for name in names if polarisations(name) == [name.upper()]]
        return (*polarised, *names, str(index + 1))[0]

    def _named(self, name: str) -> int | None:
        wanted = name.casefold()
        for index, names in enumerate(self.names):
            if any(wanted == known.casefold() for known in names):
                return index
        return None

    def _find(self, band: Band) -> int:
        if isinstance(band, str) and (index := self._named(band)) is not None:
            return index
        if isinstance(band, str) and len(self.names) == 2 and not any(self.names) and band.upper() in _UNNAMED_PAIR:
            return _UNNAMED_PAIR.index(band.upper())
        number = int(band) if isinstance(band, int) or (band.isascii() and band.isdigit()) else 0
        if not 1 <= number <= len(self.names):
            raise BandMissing(self._missing(band), param="sar.bands")
        return number - 1

    def _missing(self, band: Band) -> str:
        count = len(self.names)
        there = ", ".join(self.label(index)[:64] for index in range(min(count, 16)))
        more = ", …" if count > 16 else ""
        return f"The image has no band {band!r}. It has {count} {'band' if count == 1 else 'bands'}: {there}{more}."


def _single(texts: Sequence[str]) -> list[str]:
    """The one polarisation that texts on a band agree on; none where they name several, as a ratio does."""
    found = {name for text in texts for name in polarisations(text)}
    return list(found) if len(found) == 1 and not any(text.upper() in found for text in texts) else []
