"""Sentinel-1 products in SAFE layout: URLs, manifests and the selection of measurements."""

from __future__ import annotations

import pytest

from sarlens.errors import BadRequest, BandNotFound, UnsupportedImage
from sarlens.imagery.core.object_reader import InMemoryObject
from sarlens.imagery.core.xml import MAX_BYTES
from sarlens.imagery.products.sentinel1_safe import (
    ManifestEntry,
    SafeProduct,
    annotation_urls,
    parse_safe_url,
    read_manifest,
)
from support.sar_samples import SAMPLES
from support.sentinel1_safe import SAFE, VH, VV, manifest, real_product


@pytest.mark.parametrize(
    ("url", "calibration"),
    [
        (
            f"{SAFE}/measurement/s1a-iw-grd-vv-001.tiff",
            (f"{SAFE}/annotation/calibration/calibration-s1a-iw-grd-vv-001.xml",),
        ),
        (
            f"{SAFE}/measurement/s1a-001-cog.tiff",
            tuple(f"{SAFE}/annotation/calibration/calibration-s1a-001{suffix}.xml" for suffix in ("", "-cog")),
        ),
        ("https://e.com/p/measurement/iw-vh.tif", ("https://e.com/p/annotation/calibration/calibration-iw-vh.xml",)),
        ("s3://scenes/port.tif", None),
        ("s3://scenes/measurement/a/b.tiff", None),
        ("s3://scenes/measurement/..%2F..%2Fb.tiff", None),
        ("s3://scenes/measurement/../b.tiff", None),
        ("s3://scenes/x/measurement/b.tiff?versionId=1", None),
        ("https://e.com/measurement/b.tiff?Signature=1", None),
        ("data:image/tiff;base64,measurement/b.tiff", None),
    ],
)
def test_annotation_is_in_the_product_of_the_measurement(url: str, calibration: tuple[str, ...] | None) -> None:
    """The URLs of the annotation follow from that of the measurement, and never leave its product."""
    urls = annotation_urls(url)
    assert (urls and urls.calibration) == calibration


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("s3://bucket/S1A_X.SAFE", "s3://bucket/S1A_X.SAFE/"),
        ("s3://bucket/S1A_X_COG.SAFE/", "s3://bucket/S1A_X_COG.SAFE/"),
        ("s3://bucket/S1A_X.SAFE/manifest.safe", "s3://bucket/S1A_X.SAFE/"),
        ("s3://bucket/GRD/2021/1/x/manifest.safe", "s3://bucket/GRD/2021/1/x/"),
        ("https://e.com/S1A_X.SAFE", "https://e.com/S1A_X.SAFE/"),
        ("s3://bucket/S1A_X.SAFE/measurement/a.tiff", None),
        ("s3://bucket/S1A_X.SAFE?versionId=1", None),
        ("s3://bucket/S1A_X.SAFE//", None),
        ("s3://bucket/port.tif", None),
        ("data:,x.SAFE", None),
    ],
)
def test_a_product_has_the_url_of_its_folder_or_manifest(url: str, folder: str | None) -> None:
    """The slash at the end is optional; a URL with a query opens a single object."""
    assert parse_safe_url(url) == folder


IW = {f"IW{swath}": tuple(f"measurement/s1a-iw{swath}-slc-{band}-x.tiff" for band in ("vv", "vh")) for swath in (1, 2)}
SLC = SafeProduct(
    f"{SAFE}/",
    tuple(ManifestEntry(path, swath, path[-9:-7].upper()) for swath, paths in IW.items() for path in paths),
)


def test_bands_select_measurements() -> None:
    """Names ignore case, numbers count from 1, the order is that of the request, and VV is the default."""
    paths = {
        bands: tuple(entry.path for entry in SLC.select("iw2", bands))
        for bands in (None, ("vh",), (1,), ("VV", "VH"), (2, 1))
    }
    vv, vh = IW["IW2"]
    assert paths == {None: (vv,), ("vh",): (vh,), (1,): (vv,), ("VV", "VH"): (vv, vh), (2, 1): (vh, vv)}


@pytest.mark.parametrize(
    ("swath", "message"),
    [
        (None, 'The product has the swaths IW1, IW2. Select one, such as "swath": "IW1".'),
        ("IW4", "The product has no swath 'IW4'. It has IW1, IW2."),
    ],
)
def test_a_swath_of_several_must_be_selected(swath: str | None, message: str) -> None:
    """The error lists the swaths and names the field."""
    with pytest.raises(BadRequest) as rejected:
        SLC.select(swath, None)
    assert (rejected.value.message, rejected.value.param) == (message, "sar.swath")


def test_a_missing_polarization_is_named_with_the_others() -> None:
    """The error lists the polarizations of the swath."""
    with pytest.raises(BandNotFound) as rejected:
        SLC.select("IW2", ("HH",))
    assert rejected.value.message == "The image has no band 'HH'. It has 2 bands: VV, VH."


def test_images_of_wave_mode_are_requested_by_their_own_urls() -> None:
    """Wave mode has many small images of a swath and polarization, so the error names the URL of one."""
    paths = [f"./measurement/s1a-wv1-slc-vv-20210119t0316{index}-x-00{index}.tiff" for index in (1, 3, 5)]
    product = read_manifest(InMemoryObject(f"{SAFE}/manifest.safe", "1", manifest(paths)), f"{SAFE}/")
    with pytest.raises(BadRequest) as rejected:
        product.select(None, None)
    first = f"{SAFE}/measurement/s1a-wv1-slc-vv-20210119t03161-x-001.tiff"
    assert rejected.value.message == f"The swath WV1 of the product has 3 images. Use the URL of one, such as {first}"


HOSTILE_MANIFESTS = [
    (manifest(["./../other/measurement/s1a-iw-grd-vv-x-001.tiff"]), "outside the product's folder"),
    (manifest(["./measurement/../../x.tiff"]), "outside the product's folder"),
    (manifest(["s3://secret/measurement/s1a-iw-grd-vv-x-001.tiff"]), "outside the product's folder"),
    (manifest(["./measurement/s1a-iw-grd-vv-x-001.tiff?versionId=1"]), "outside the product's folder"),
    (manifest(["./measurement/%2e%2e%2fx.tiff"]), "outside the product's folder"),
    (manifest([]), "lists no measurement"),
    (manifest(["./measurement/s1a-iw-ocn-vv-x-001.tiff"]), "lists no measurement"),
    (b"", "isn't valid XML"),
    (b"<XFDU", "isn't valid XML"),
    (b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><XFDU>&c;</XFDU>', "isn't valid XML"),
    (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><XFDU>&b;</XFDU>', "isn't valid XML"),
    (b" " * (MAX_BYTES + 1), f"has {8 * 2**20 + 1} bytes; the limit for XML of a product is {8 * 2**20}"),
]


@pytest.mark.parametrize(("document", "reason"), HOSTILE_MANIFESTS)
def test_a_hostile_manifest_is_rejected(document: bytes, reason: str) -> None:
    """Paths outside the folder, entities, large documents and other XML are rejected with the reason."""
    with pytest.raises(UnsupportedImage, match=reason):
        read_manifest(InMemoryObject(f"{SAFE}/manifest.safe", "1", document), f"{SAFE}/")


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are missing")
@pytest.mark.parametrize("year", [2015, 2021])
def test_real_manifests_are_parsed(year: int) -> None:
    """The measurements of a real manifest, VV first."""
    _, files = real_product(next(SAMPLES.glob(f"S1A_IW_GRDH_1SDV_{year}*.zip")), {"vv": VV, "vh": VH})
    product = read_manifest(
        InMemoryObject("s3://bucket/x/manifest.safe", "1", files["manifest.safe"]), "s3://bucket/x/"
    )
    assert [(entry.swath, entry.band) for entry in product.measurements] == [("IW", "VV"), ("IW", "VH")]
    assert {entry.path for entry in product.measurements} < set(files)
