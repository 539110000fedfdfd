"""Selection of bands by name, polarization or number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sarlens.errors import BandNotFound
from sarlens.types.render_params import Band

_POLARIZATION = re.compile(r"(?<![A-Z0-9])(?:VV|VH|HH|HV|RH|RV|RR|RL|LL|LR|LH|LV|CH|CV)(?![A-Z0-9])")
_PREFERRED = ("VV", "HH")
_UNNAMED_PAIR = ("VV", "VH")
_MAX_LISTED = 16
"""Bands that an error message lists, at most."""


def polarizations(text: str) -> list[str]:
    """The polarizations in a text, in its order: ``Sigma0_VV_db`` contains VV."""
    return _POLARIZATION.findall(text.upper())


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands of an image with their unambiguous names.

    A band is selected by a name, ignoring case, else by its 1-based number. If an image has two bands without names,
    VV and VH are the first and the second: Sentinel-1 products store them in this order.
    """

    names: tuple[tuple[str, ...], ...]
    """Names of each band; a band can have none."""

    @classmethod
    def named(cls, names: Sequence[Sequence[str]]) -> Bands:
        """Bands from the descriptions of each; a description of several bands names none of them."""
        candidates = [[*texts, *_common_polarization(texts)] for texts in names]
        folded = [{text.casefold() for text in texts} for texts in candidates]
        return cls(
            tuple(
                tuple(text for text in texts if sum(text.casefold() in others for others in folded) == 1)
                for texts in candidates
            )
        )

    def indexes(self, bands: Sequence[Band]) -> tuple[int, ...]:
        """0-based indexes of the requested bands.

        Raises:
            BandNotFound: the image has no such band.
        """
        return tuple(self._index_of(band) for band in bands)

    def default_index(self) -> int:
        """Index of the band that is rendered by default: VV, else HH, else the first."""
        return next((index for name in _PREFERRED if (index := self._named(name)) is not None), 0)

    def label(self, index: int) -> str:
        """A band's name: its polarization, else its description, else its number."""
        names = self.names[index]
        polarized = [name for name in names if polarizations(name) == [name.upper()]]
        return (*polarized, *names, str(index + 1))[0]

    def _named(self, name: str) -> int | None:
        for index, names in enumerate(self.names):
            if name.casefold() in (known.casefold() for known in names):
                return index
        return None

    def _index_of(self, band: Band) -> int:
        if isinstance(band, str) and (index := self._named(band)) is not None:
            return index
        if isinstance(band, str) and len(self.names) == 2 and not any(self.names) and band.upper() in _UNNAMED_PAIR:
            return _UNNAMED_PAIR.index(band.upper())
        number = int(band) if isinstance(band, int) or (band.isascii() and band.isdigit()) else 0
        if not 1 <= number <= len(self.names):
            raise BandNotFound(self._band_not_found(band), param="sar.bands")
        return number - 1

    def _band_not_found(self, band: Band) -> str:
        count = len(self.names)
        labels = ", ".join(self.label(index)[:64] for index in range(min(count, _MAX_LISTED)))
        more = ", …" if count > _MAX_LISTED else ""
        return f"The image has no band {band!r}. It has {count} {'band' if count == 1 else 'bands'}: {labels}{more}."


def _common_polarization(texts: Sequence[str]) -> list[str]:
    """The only polarization in the descriptions of a band; none if there are several, as for a ratio."""
    names = {name for text in texts for name in polarizations(text)}
    return list(names) if len(names) == 1 and not any(text.upper() in names for text in texts) else []
