"""Sentinel-1 products in SAFE layout: from the address of a folder to calibrated polarisations."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import SAMPLES
from imagery.annotation_oracle import GAINS, gridded, noise_by_scipy
from imagery.blobs import encoded, geotiff
from sarlens.errors import BadRequest, BandMissing, CalibrationMissing, ImageNotFound, UnsupportedImage
from sarlens.imagery.address import addresses
from sarlens.imagery.annotation import read_sentinel1
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.calibration import Sentinel1
from sarlens.imagery.data import Data
from sarlens.imagery.decode import Limits, decode_all
from sarlens.imagery.finder import Finder
from sarlens.imagery.original import Annotation, Original
from sarlens.imagery.pictures import Pictures
from sarlens.imagery.radiometry import detect
from sarlens.imagery.raster import Raster
from sarlens.imagery.safe import annotation_places, product_folder, read_manifest
from sarlens.imagery.source import Blob, HeldBlob, Sources, content_version
from sarlens.imagery.tables import Tables
from sarlens.metrics import Metrics
from sarlens.request import ANYBODY, Calibration, Render, View, Window
from stack.safe import Files, annotation, manifest, measurement, product_annotation, real_product, small_product

SAFE = "s3://scenes/2021/S1A_X.SAFE"


@pytest.mark.parametrize(
    ("url", "calibration"),
    [
        (
            f"{SAFE}/measurement/s1a-iw-grd-vv-001.tiff",
            (f"{SAFE}/annotation/calibration/calibration-s1a-iw-grd-vv-001.xml",),
        ),
        (
            f"{SAFE}/measurement/s1a-001-cog.tiff",
            tuple(f"{SAFE}/annotation/calibration/calibration-s1a-001{end}.xml" for end in ("", "-cog")),
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
def test_annotation_is_looked_for_in_the_same_product(url: str, calibration: tuple[str, ...] | None) -> None:
    """The place of annotation follows from that of the measurement, and never leaves its product."""
    found = annotation_places(url)
    assert (found and found.calibration) == calibration


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
def test_a_product_is_addressed_by_its_folder_or_manifest(url: str, folder: str | None) -> None:
    """With or without a slash; a URL with a query opens one object alone."""
    assert product_folder(url) == folder


class Shelf:
    """A source that holds objects by URL, and counts what is opened."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.opened: list[str] = []

    async def open(self, url: str) -> Blob:
        """The object."""
        self.opened.append(url)
        if url not in self.objects:
            raise ImageNotFound(f"{url} is not there.")
        data = self.objects[url]
        return HeldBlob(url, content_version(data), data)

    def put(self, folder: str, files: Files) -> None:
        """Put a product into a folder."""
        self.objects |= {f"{folder}/{path}": data for path, data in files.items()}


@pytest.fixture
def shelf() -> Shelf:
    """An empty one."""
    return Shelf({})


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Two threads."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def pictures(shelf: Shelf, threads: ThreadPoolExecutor) -> Pictures:
    """A darkroom before the shelf."""
    cache: ByteLRU[str, Any] = ByteLRU(2**20, weigh=lambda each: 1)
    return Pictures(Sources({"s3": shelf}, Data(0)), cache, threads, Limits(), Metrics())


def numbers(seed: int, shape: tuple[int, int] = (100, 200)) -> NDArray[np.uint16]:
    """Digital numbers of speckle."""
    return np.random.default_rng(seed).integers(100, 999, shape).astype(np.uint16)


VV, VH = numbers(0), numbers(1)
DUAL = {"iw-grd-vh": VH, "iw-grd-vv": VV}


async def opened(shelf: Shelf, threads: ThreadPoolExecutor, url: str, render: Render) -> Original:
    """What a rendering of an image reads."""
    sources = Sources({"s3": shelf}, Data(0))
    return (await Finder(sources.open, threads).find(url, render, ANYBODY)).original


async def calibrated(shelf: Shelf, threads: ThreadPoolExecutor, url: str, **render: Any) -> Raster:
    """The power that a rendering shows, calibrated, before anything else is done to it."""
    asked = Render.model_validate(render)
    original = await opened(shelf, threads, url, asked)
    raster = decode_all(original, asked, 448, Limits())
    assert isinstance(raster, Raster)
    tables = await Tables(threads).of(original, asked.calibration)
    assert tables is not None
    return tables.calibrate(detect(raster))


async def test_a_measurement_in_a_bucket_is_calibrated(shelf: Shelf, pictures: Pictures) -> None:
    """A measurement is drawn with the annotation beside it; other annotation is another picture, none is refused."""
    name, folder = f"{SAFE}/measurement/s1a-vv.tiff", f"{SAFE}/annotation/"
    shelf.objects[name] = geotiff(VV)
    asked = Render(calibration="sigma0")
    for path, data in (
        ("calibration/calibration-s1a-vv", annotation("calibration", values="2 40")),
        ("calibration/noise-s1a-vv", annotation("noise")),
        ("s1a-vv", product_annotation()),
    ):
        with pytest.raises(CalibrationMissing, match="s1a-vv"):
            await pictures.find(name, asked, 448, ANYBODY)
        shelf.objects[f"{folder}{path}.xml"] = data
    plain = await pictures.show(name, None, 448, ANYBODY)
    shown = await pictures.show(name, asked, 448, ANYBODY)
    shelf.objects[f"{folder}calibration/noise-s1a-vv.xml"] = annotation("noise", values="9 9")
    again = await pictures.find(name, asked, 448, ANYBODY)
    assert len({plain.id, shown.id, again.id}) == 3
    assert plain.data != shown.data


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("end", ["", "/", "/manifest.safe"])
async def test_bands_choose_the_polarisations_of_a_product(
    shelf: Shelf, threads: ThreadPoolExecutor, cog: bool, end: str
) -> None:
    """VV comes first whatever the files' order; each polarisation is calibrated by its own tables, COG or not."""
    shelf.put(SAFE, small_product(DUAL, cog=cog))
    gain = 2 + 2 * np.arange(200) / 200
    noise = {"VV": 800 + 1000 * np.arange(200) / 200, "VH": 400 + 500 * np.arange(200) / 200}
    for bands, names in ((None, "VV"), (["vh"], "VH"), ([1], "VV"), (["VV", "VH"], "VV VH"), ([2, 1], "VH VV")):
        found = await calibrated(shelf, threads, f"{SAFE}{end}", bands=bands, calibration="sigma0", filter="none")
        assert found.bands == tuple(names.split())
        for plane, name in zip(found.pixels, found.bands, strict=True):
            dn = {"VV": VV, "VH": VH}[name].astype(float)
            expected = np.maximum(dn**2 - noise[name], noise[name] / 10) / gain**2
            np.testing.assert_allclose(plane, expected, rtol=2e-6)


async def test_a_cog_product_may_keep_the_names_in_its_manifest(shelf: Shelf, pictures: Pictures) -> None:
    """A measurement that its manifest lists as NAME.tiff is found as NAME-cog.tiff."""
    files = small_product(DUAL, cog=True)
    files["manifest.safe"] = files["manifest.safe"].replace(b"-cog.tiff", b".tiff")
    shelf.put(SAFE, files)
    assert (await pictures.show(SAFE, Render(calibration="beta0", bands=("VV", "VH")), 448, ANYBODY)).data


async def test_the_picture_of_a_product_is_that_of_its_measurement(shelf: Shelf, pictures: Pictures) -> None:
    """A polarisation of the folder looks as its file does, under an id of its own; other bands have other ids."""
    files = small_product(DUAL)
    shelf.put(SAFE, files)
    alone = next(f"{SAFE}/{path}" for path in files if "measurement" in path and "-vh-" in path)
    whole = await pictures.show(SAFE, Render(bands=("VH",)), 448, ANYBODY)
    file = await pictures.show(alone, None, 448, ANYBODY)
    composite = await pictures.show(SAFE, Render(bands=("VH", "VV")), 448, ANYBODY)
    assert whole.data == file.data
    assert len({whole.id, composite.id, (await pictures.find(SAFE, None, 448, ANYBODY)).id}) == 3


async def test_noise_that_was_removed_is_not_removed_again(shelf: Shelf, threads: ThreadPoolExecutor) -> None:
    """A product whose annotation says that the noise is gone keeps its power; dark pixels keep their floor."""
    dark = np.where(np.arange(200) < 100, 5, VV).astype(np.uint16)
    shelf.put(SAFE, small_product({"iw-grd-vv": dark}, denoised="true"))
    found = await calibrated(shelf, threads, SAFE, calibration="sigma0", filter="none")
    gain, noise = 2 + 2 * np.arange(200) / 200, 400 + 500 * np.arange(200) / 200
    np.testing.assert_allclose(found.pixels[0], np.maximum(dark.astype(float) ** 2, noise / 10) / gain**2, rtol=2e-6)


@pytest.mark.parametrize("said", ["", "maybe", "TRUE"])
async def test_annotation_that_does_not_say_so_is_refused(shelf: Shelf, pictures: Pictures, said: str) -> None:
    """Whether the noise has been removed is not guessed."""
    shelf.put(SAFE, small_product(DUAL, denoised=said))
    with pytest.raises(CalibrationMissing, match="noise"):
        await pictures.show(SAFE, Render(calibration="sigma0"), 448, ANYBODY)


async def test_tables_are_read_once(shelf: Shelf, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pictures of a measurement share one reading of its annotation; what is kept is bounded."""
    read: list[Calibration] = []

    def counted(found: Annotation, wanted: Calibration) -> Sentinel1:
        read.append(wanted)
        return read_sentinel1(found, wanted)

    monkeypatch.setattr("sarlens.imagery.tables.read_sentinel1", counted)
    shelf.put(SAFE, small_product(DUAL))
    tables = Tables(threads)
    for _ in range(3):
        await tables.of(await opened(shelf, threads, SAFE, Render(calibration="sigma0")), "sigma0")
    assert read == ["sigma0"]
    await tables.of(await opened(shelf, threads, SAFE, Render(calibration="gamma0")), "gamma0")
    small = Tables(threads, kept_bytes=1)
    for _ in range(2):
        await small.of(await opened(shelf, threads, SAFE, Render(calibration="beta0")), "beta0")
    assert read[1:] == ["gamma0", "beta0", "beta0"]


SLC = {f"iw{swath}-slc-{band}": numbers(swath) * np.complex64(1) for swath in (1, 2, 3) for band in ("vv", "vh")}


async def test_a_swath_of_slc_has_to_be_named(shelf: Shelf, pictures: Pictures, threads: ThreadPoolExecutor) -> None:
    """Without a swath, or with one that is not there, the answer lists what there is; with one, power is |DN|²."""
    shelf.put(SAFE, small_product(SLC))
    for asked in (None, Render(swath="IW4")):
        with pytest.raises(BadRequest, match="IW1, IW2, IW3") as refused:
            await pictures.find(SAFE, asked, 448, ANYBODY)
        assert refused.value.param == "sar.swath"
    found = await calibrated(shelf, threads, SAFE, swath="iw2", bands=["VV", "VH"], calibration="beta0")
    assert found.bands == ("VV", "VH")
    with pytest.raises(BandMissing, match="VV, VH"):
        await pictures.find(SAFE, Render(swath="IW2", bands=("HH",)), 448, ANYBODY)
    shelf.objects["s3://scenes/port.tif"] = b"II*\0"
    with pytest.raises(BadRequest, match="swaths"):
        await pictures.find("s3://scenes/port.tif", Render(swath="IW1"), 448, ANYBODY)


async def test_several_images_of_one_swath_are_named_by_their_own_urls(shelf: Shelf, pictures: Pictures) -> None:
    """Wave mode holds many small images of a swath and polarisation, of which none is the product's."""
    paths = [f"./measurement/s1a-wv1-slc-vv-20210119t0316{at}-x-00{at}.tiff" for at in (1, 3, 5)]
    shelf.put(SAFE, {"manifest.safe": manifest(paths)})
    with pytest.raises(BadRequest, match=r"measurement/s1a-wv1-slc-vv-20210119t03161-x-001\.tiff"):
        await pictures.find(SAFE, None, 448, ANYBODY)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (manifest(["./../other/measurement/s1a-iw-grd-vv-x-001.tiff"]), "own folder"),
        (manifest(["./measurement/../../x.tiff"]), "own folder"),
        (manifest(["s3://secret/measurement/s1a-iw-grd-vv-x-001.tiff"]), "own folder"),
        (manifest(["./measurement/s1a-iw-grd-vv-x-001.tiff?versionId=1"]), "own folder"),
        (manifest(["./measurement/%2e%2e%2fx.tiff"]), "own folder"),
        (manifest([]), "lists no measurement"),
        (manifest(["./measurement/s1a-iw-ocn-vv-x-001.tiff"]), "lists no measurement"),
        (b"", "no XML"),
        (b"<XFDU", "no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><XFDU>&c;</XFDU>', "no XML"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><XFDU>&b;</XFDU>', "no XML"),
        (b" " * (8 * 2**20 + 1), "bytes"),
    ],
)
async def test_a_hostile_manifest_opens_nothing(shelf: Shelf, pictures: Pictures, document: bytes, said: str) -> None:
    """What points out of the folder, expands, is too large or no manifest is refused, and no other file is touched."""
    shelf.put(SAFE, {"manifest.safe": document})
    with pytest.raises(UnsupportedImage, match=said):
        await pictures.find(SAFE, None, 448, ANYBODY)
    assert shelf.opened == [f"{SAFE}/manifest.safe"]


async def test_a_product_that_is_not_whole_says_what_is_missing(shelf: Shelf, pictures: Pictures) -> None:
    """No manifest, no measurement, no such polarisation, sizes that differ, a picture in place of a measurement."""
    with pytest.raises(ImageNotFound, match=r"manifest\.safe"):
        await pictures.find(SAFE, None, 448, ANYBODY)
    files = small_product(DUAL)
    path = next(path for path in files if "measurement" in path and "-vv-" in path)
    shelf.put(SAFE, {key: data for key, data in files.items() if key != path})
    with pytest.raises(ImageNotFound, match=r"-vv-.* though the manifest"):
        await pictures.find(SAFE, None, 448, ANYBODY)
    with pytest.raises(BandMissing, match="It has 2 bands: VV, VH"):
        await pictures.find(SAFE, Render(bands=("HV",)), 448, ANYBODY)
    both = Render(bands=("VV", "VH"))
    shelf.objects[f"{SAFE}/{path}"] = measurement(numbers(2, (100, 199)))
    with pytest.raises(UnsupportedImage, match="same size"):
        await pictures.show(SAFE, both, 448, ANYBODY)
    for image in (geotiff(np.zeros((3, 100, 200), dtype=np.uint8)), encoded(np.zeros((100, 200), dtype=np.uint8))):
        shelf.objects[f"{SAFE}/{path}"] = image
        with pytest.raises(UnsupportedImage, match="one band"):
            await pictures.show(SAFE, both, 448, ANYBODY)


async def test_ground_control_points_that_are_missing_are_missed_on_the_map_alone(
    shelf: Shelf, pictures: Pictures
) -> None:
    """A measurement without them has windows in pixels, and no place on the map."""
    files = small_product({"iw-grd-vv": VV})
    path = next(path for path in files if "measurement" in path)
    shelf.put(SAFE, files | {path: geotiff(VV)})
    assert (await pictures.show(SAFE, Render(window=(0, 0, 50, 50)), 448, ANYBODY)).data
    with pytest.raises(BadRequest, match="where it lies"):
        await pictures.find(SAFE, Render(bbox=(4, 51.99, 4.01, 52)), 448, ANYBODY)
    shelf.put(SAFE, files)
    found = await pictures.find(SAFE, Render(bbox=(4.002, 51.994, 4.012, 51.998)), 448, ANYBODY)
    assert found.render.window is not None


@pytest.mark.parametrize(
    ("view", "places"),
    [
        (View("s3://bucket/X.SAFE"), ("s3://bucket/X.SAFE/",)),
        (View("s3://bucket/X.SAFE/manifest.safe"), ("s3://bucket/X.SAFE/",)),
        (View("https://e.com:443/a/../X.SAFE"), ("https://e.com/X.SAFE/",)),
        (View("s3://bucket/x/measurement/a.tiff"), ("s3://bucket/x/measurement/a.tiff",)),
        (
            View("s3://bucket/x/measurement/a.tiff", Render(calibration="sigma0")),
            ("s3://bucket/x/measurement/a.tiff", "s3://bucket/x/annotation/"),
        ),
        (View("s3://bucket/port.tif", Render(calibration="sigma0")), ("s3://bucket/port.tif",)),
        (View(b"II*"), ("data:",)),
    ],
)
def test_all_that_an_image_is_read_from_is_known_before(view: View, places: tuple[str, ...]) -> None:
    """A product stands for its folder, a calibrated measurement for itself and the annotation of its product."""
    assert addresses(view) == places


async def test_every_file_that_is_opened_lies_below_what_was_asked_for(shelf: Shelf, pictures: Pictures) -> None:
    """What ``addresses`` says beforehand covers all that is read."""
    files = small_product(DUAL)
    shelf.put(SAFE, files)
    alone = next(f"{SAFE}/{path}" for path in files if "measurement" in path)
    for place in (SAFE, alone):
        asked = Render(calibration="gamma0")
        shelf.opened.clear()
        await pictures.show(place, asked, 448, ANYBODY)
        told = addresses(View(place, asked))
        assert len(shelf.opened) >= 4
        for url in shelf.opened:
            assert any(url == each or (each.endswith("/") and url.startswith(each)) for each in told), url


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are not beside this repository")
@pytest.mark.parametrize(("year", "cog"), [(2015, False), (2021, True)])
async def test_a_real_product_is_calibrated_as_scipy_does(
    shelf: Shelf, threads: ThreadPoolExecutor, year: int, cog: bool
) -> None:
    """Real manifest and annotation around simulated pixels, IPF 2.36 and 3.31: both polarisations agree with SciPy."""
    images = {"vv": numbers(3, (300, 400)), "vh": numbers(4, (300, 400))}
    archive = next(SAMPLES.glob(f"S1A_IW_GRDH_1SDV_{year}*.zip"))
    name, files = real_product(archive, images, cog=cog)
    folder = f"s3://scenes/{name}"
    shelf.put(folder, files)
    window = Window(40, 30, 40, 30)
    rows, cols = window.row + np.arange(window.height), window.col + np.arange(window.width)
    for wanted, field in GAINS.items():
        found = await calibrated(shelf, threads, folder, bands=["VV", "VH"], window=window, calibration=wanted)
        for plane, band in zip(found.pixels, ("vv", "vh"), strict=True):
            text = {
                kind: next(data.decode() for path, data in files.items() if f"{kind}-s1a-iw-grd-{band}" in path)
                for kind in ("calibration", "noise")
            }
            gain = gridded(text["calibration"], "calibrationVectorList", field, rows, cols)
            noise = noise_by_scipy(text["noise"], rows, cols)
            power = images[band][rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(float) ** 2
            np.testing.assert_allclose(plane, np.maximum(power - noise, noise / 10) / gain**2, rtol=2e-6)


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are not beside this repository")
@pytest.mark.parametrize("year", [2015, 2021])
def test_real_manifests_are_understood(year: int) -> None:
    """The measurements that a real manifest lists, VV first."""
    _, files = real_product(next(SAMPLES.glob(f"S1A_IW_GRDH_1SDV_{year}*.zip")), {"vv": VV, "vh": VH})
    product = read_manifest(HeldBlob("s3://bucket/x/manifest.safe", "1", files["manifest.safe"]), "s3://bucket/x/")
    assert [(each.swath, each.band) for each in product.measurements] == [("IW", "VV"), ("IW", "VH")]
    assert {each.path for each in product.measurements} < set(files)
