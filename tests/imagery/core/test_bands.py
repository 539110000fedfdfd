"""Selection of bands by name, polarization or number."""

from __future__ import annotations

import pytest

from sarlens.errors import BandNotFound
from sarlens.imagery.core.bands import Bands, polarizations
from sarlens.types.render_params import Band


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Sigma0_VV_db", ["VV"]),
        ("vh", ["VH"]),
        ("VV/VH ratio", ["VV", "VH"]),
        ("CH, CV", ["CH", "CV"]),
        ("SAVVY", []),
        ("VV1", []),
        ("", []),
    ],
)
def test_polarizations_are_words_of_a_text(text: str, names: list[str]) -> None:
    """A polarization is recognized between other characters than letters and digits, in any case."""
    assert polarizations(text) == names


def test_a_band_has_its_descriptions_and_its_only_polarization() -> None:
    """A description with one polarization adds the polarization as a name; a ratio of two adds none."""
    bands = Bands.named([["Sigma0_VV_db"], ["Sigma0_VH_db"], ["VV/VH"]])
    assert bands.names == (("Sigma0_VV_db", "VV"), ("Sigma0_VH_db", "VH"), ("VV/VH",))


def test_a_description_of_several_bands_names_none() -> None:
    """Equal descriptions are ambiguous in any case, so the bands can only be selected by number."""
    bands = Bands.named([["sigma0", "VV"], ["Sigma0", "VH"], ["VV"]])
    assert bands.names == ((), ("VH",), ())


NAMED = Bands.named([["VH"], ["VV"], ["Incidence angle"]])
UNNAMED = Bands.named([[], []])


@pytest.mark.parametrize(
    ("bands", "requested", "indexes"),
    [
        (NAMED, ("VV", "vh", 3), (1, 0, 2)),
        (NAMED, ("incidence ANGLE",), (2,)),
        (NAMED, ("2", 1), (1, 0)),
        (UNNAMED, ("VV", "vh"), (0, 1)),
        (UNNAMED, (2,), (1,)),
        (Bands.named([["2"], ["1"]]), ("2", 2), (0, 1)),
    ],
)
def test_a_name_precedes_a_number(bands: Bands, requested: tuple[Band, ...], indexes: tuple[int, ...]) -> None:
    """Names ignore case, numbers count from 1, and two unnamed bands are VV and VH as in Sentinel-1 products."""
    assert bands.indexes(requested) == indexes


@pytest.mark.parametrize(
    ("bands", "band", "message"),
    [
        (NAMED, "HH", "The image has no band 'HH'. It has 3 bands: VH, VV, Incidence angle."),
        (NAMED, 0, "The image has no band 0. It has 3 bands: VH, VV, Incidence angle."),
        (NAMED, 4, "The image has no band 4. It has 3 bands: VH, VV, Incidence angle."),
        (NAMED, "²", "The image has no band '²'. It has 3 bands: VH, VV, Incidence angle."),
        (Bands.named([[]]), "VV", "The image has no band 'VV'. It has 1 band: 1."),
        (Bands.named([["HH"], []]), "VV", "The image has no band 'VV'. It has 2 bands: HH, 2."),
        (
            Bands.named([[]] * 20),
            21,
            f"The image has no band 21. It has 20 bands: {', '.join(map(str, range(1, 17)))}, ….",
        ),
    ],
)
def test_a_missing_band_is_named_with_the_others(bands: Bands, band: Band, message: str) -> None:
    """The error lists at most 16 bands."""
    with pytest.raises(BandNotFound) as rejected:
        bands.indexes((band,))
    assert (rejected.value.message, rejected.value.param) == (message, "sar.bands")


@pytest.mark.parametrize(
    ("names", "index"), [(["VH", "VV"], 1), (["HV", "HH"], 1), (["HH", "VV"], 1), (["VH", "HV"], 0), ([""], 0)]
)
def test_the_default_band_is_vv_else_hh_else_the_first(names: list[str], index: int) -> None:
    """Co-polarized bands are preferred, VV before HH."""
    assert Bands.named([[name] if name else [] for name in names]).default_index() == index
