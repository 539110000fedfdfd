"""Survey planner: one plan per survey, restored plans, and the tiles of an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import obstore
import pytest

from sarlens.errors import BadRequest, NotGeoreferenced, PayloadTooLarge, SourceChanged
from sarlens.imagery.formats import row_reader, tiff
from sarlens.imagery.geo.georeference import Georeference, ImageExtent
from sarlens.imagery.service.image_service import ImageService
from sarlens.jobs.models import JobOwner
from sarlens.profiles.profile import ModelProfile
from sarlens.settings import Settings
from sarlens.surveys import planner as planner_module
from sarlens.surveys.exporter import survey_summary
from sarlens.surveys.planner import SurveyLimits, SurveyPlanner, plan_tiles
from sarlens.surveys.spec import SurveyQuestion, SurveySpec
from sarlens.types.caller import ANONYMOUS, CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.gateway import gateway
from support.georeferenced_scenes import AFFINE, UTM, geotiff, sea
from support.s3 import S3Server
from surveys.client import SURVEYS, call, survey_body
from surveys.conftest import SHIPS

SCENE = "s3://scenes/x.tif"
GEOREFERENCE = Georeference(1000, 700, UTM, AFFINE)
EXTENT = ImageExtent(1000, 700, GEOREFERENCE)


async def test_a_synchronous_survey_is_planned_once(
    settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synchronous survey of 30 tiles has one plan, one header read, and no parsing of its stored specification.

    GDAL opens the TIFF once, for its georeference. The store gets three requests.
    """
    s3.client().put_object(Bucket="scenes", Key="planned.tif", Body=geotiff(sea(1500, 1100, SHIPS)))
    calls: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    count(SurveyPlanner, "_plan")
    count(planner_module, "plan_tiles")
    count(ImageService, "extent")
    count(SurveySpec, "model_validate_json")
    for module in (tiff, row_reader):
        count(module, "open_tiff")
    count(obstore, "get_async")
    s3_settings = settings.s3.model_copy(update={"metadata_ttl_s": 60.0})
    async with gateway(settings.model_copy(update={"s3": s3_settings})) as base:
        status, document, _ = await call("POST", base + SURVEYS, survey_body("s3://scenes/planned.tif"))
    assert (status, document["survey"]["tiles"]) == (200, 30)
    assert calls == {"_plan": 1, "plan_tiles": 1, "extent": 1, "open_tiff": 1, "get_async": 3}


class FakeInference:
    """One model, and images of 1000 x 700 pixels; counts the header reads."""

    def __init__(self) -> None:
        self.header_reads = 0
        self.version = "v1"
        self.models: list[str | None] = []
        self.image_service = self

    async def resolve_model(self, model: str | None, images: Any, _: CallerPolicy) -> str:
        """Return the model, or the default."""
        self.models.append(model)
        return model or "nano"

    def profile(self, model: str) -> ModelProfile:
        """Return the profile of the model."""
        return {"nano": ModelProfile(size=128)}[model]

    async def extent(
        self, image_request: ImageRequest, policy: CallerPolicy
    ) -> tuple[Any, RenderParams | None, ImageExtent]:
        """Read a header."""
        self.header_reads += 1
        url = image_request.location
        image = SimpleNamespace(name=url, version=self.version, location=url, acquisition=None)
        return image, image_request.render, EXTENT


def make_planner(inference: FakeInference, max_tiles: int = 40) -> SurveyPlanner:
    """Return a planner for surveys of up to ``max_tiles`` tiles."""
    account = SimpleNamespace(policy=lambda owner: ANONYMOUS)
    return SurveyPlanner(cast("Any", inference), cast("Any", account), SurveyLimits(4, 0.0, max_tiles))


def make_spec(**fields: Any) -> SurveySpec:
    """Return the specification of a survey with 12 tiles of 256 pixels."""
    questions = (SurveyQuestion(question="How many ships are in the image?"),)
    return SurveySpec(**{"url": SCENE, "questions": questions, "tile": 256} | fields)


async def test_a_new_job_has_what_a_restart_requires() -> None:
    """The job has owner, process, version, model and number of tiles, and the specification as JSON."""
    job = await make_planner(FakeInference()).new_job(make_spec(seed=3), "survey", JobOwner("gis"))
    assert (job.process, job.owner, job.version, job.model, job.tiles) == ("survey", "gis", "v1", "nano", 12)
    assert SurveySpec.model_validate_json(job.request) == make_spec(model="nano", seed=3, reduction=2.0)


@pytest.mark.parametrize(
    ("render", "tile", "reduction", "tiles"),
    [
        ({}, 128, 1.0, 48),
        ({"size": 256}, 256, 1.0, 12),
        ({"looks": (2, 4)}, 256, 1.0, 12),
        ({"size": 32}, 64, 2.0, 176),
    ],
)
async def test_a_tile_has_by_default_what_the_model_sees(
    render: dict[str, Any], tile: int, reduction: float, tiles: int
) -> None:
    """Without a size, tiles have the pixels of a picture, times the smaller look; at least 64."""
    spec = make_spec(tile="model", render=RenderParams(**render))
    job = await make_planner(FakeInference(), 200).new_job(spec, "survey", JobOwner())
    planned = SurveySpec.model_validate_json(job.request)
    assert (planned.tile, planned.reduction, job.tiles) == (tile, reduction, tiles)


async def test_the_summary_of_reduced_tiles_has_a_warning() -> None:
    """A tile of 224 pixels for a model that sees 128 is reduced by 1.75, which job and features tell."""
    planner = make_planner(FakeInference(), 200)
    job = await planner.new_job(make_spec(tile=224), "survey", JobOwner())
    summary = survey_summary(job)
    assert (summary["tile"], summary["reduction"]) == (224, 1.75)
    assert summary["warning"].startswith("The model sees a tile of 224 pixels reduced by 1.75, so small objects can")
    plan = await planner.take_plan(job)
    # The last tile has as many pixels as the first one.
    assert [plan.reduction(tile) for tile in (0, len(plan.tiles) - 1)] == [1.75, 1.75]
    boxes = plan.boxes(0)
    assert boxes is not None
    assert boxes.frame.width == pytest.approx(128)
    exact = survey_summary(await planner.new_job(make_spec(tile="model"), "survey", JobOwner()))
    assert (exact["tile"], exact["reduction"], "warning" in exact) == (128, 1.0, False)


async def test_an_overlap_is_at_most_half_of_the_default_tile() -> None:
    """An overlap of 65 pixels is too much for tiles of 128 pixels."""
    with pytest.raises(BadRequest, match=r"at most half of the tile, which has 128 pixels") as rejected:
        await make_planner(FakeInference()).new_job(make_spec(tile="model", overlap=65), "survey", JobOwner())
    assert rejected.value.param == "overlap"


async def test_a_plan_is_kept_until_its_job_starts() -> None:
    """The job that starts in the process of its submission gets the same plan without a header read."""
    inference = FakeInference()
    planner = make_planner(inference)
    job = await planner.new_job(make_spec(), "survey", JobOwner())
    plan = await planner.take_plan(job)
    assert (inference.header_reads, len(plan.tiles), plan.size) == (1, 12, 128)
    restored = await planner.take_plan(job)
    assert inference.header_reads == 2
    assert restored == plan
    assert restored is not plan


async def test_a_plan_is_restored_in_another_process() -> None:
    """A restored plan equals the plan of the submission, and uses the model of the job."""
    inference = FakeInference()
    first, second = make_planner(inference), make_planner(inference)
    job = await first.new_job(make_spec(), "survey", JobOwner())
    assert await second.take_plan(job) == await first.take_plan(job)
    assert inference.models == [None, "nano"]


async def test_a_discarded_plan_is_not_kept() -> None:
    """A dismissed job leaves no plan."""
    inference = FakeInference()
    planner = make_planner(inference)
    job = await planner.new_job(make_spec(), "survey", JobOwner())
    planner.discard_plan(job.id)
    await planner.take_plan(job)
    assert inference.header_reads == 2


async def test_kept_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans of more tiles than the limit evict the oldest plan, whose job is planned again; the newest stays."""
    monkeypatch.setattr(planner_module, "_MAX_KEPT_TILES", 0)
    inference = FakeInference()
    planner = make_planner(inference, max_tiles=23)
    jobs = [await planner.new_job(make_spec(), "survey", JobOwner()) for _ in range(2)]
    assert inference.header_reads == 2
    await planner.take_plan(jobs[1])
    assert inference.header_reads == 2
    await planner.take_plan(jobs[0])
    assert inference.header_reads == 3


async def test_a_changed_image_is_not_planned_again() -> None:
    """Restoring a job whose image has another version raises SourceChanged with the new version."""
    inference = FakeInference()
    job = await make_planner(inference).new_job(make_spec(), "survey", JobOwner())
    inference.version = "v2"
    with pytest.raises(SourceChanged, match=r"^s3://scenes/x.tif has version v2 now\.$"):
        await make_planner(inference).restore(job)


def test_the_last_column_and_row_move_inward() -> None:
    """1000 x 700 pixels in tiles of 256 are 4 columns and 3 rows; the last ones end at the edge of the image."""
    tiles = plan_tiles(EXTENT, make_spec(), 12)
    assert len(tiles) == 12
    assert tiles[0] == Window(0, 0, 256, 256)
    assert tiles[3] == Window(744, 0, 256, 256)
    assert tiles[8] == Window(0, 444, 256, 256)
    assert tiles[11] == Window(744, 444, 256, 256)


@pytest.mark.parametrize(
    ("window", "tiles"),
    [
        ((0, 0, 256, 256), [(0, 0)]),
        ((0, 0, 257, 256), [(0, 0), (256, 0)]),
        ((255, 0, 1, 257), [(0, 0), (0, 256)]),
        ((256, 256, 1, 1), [(256, 256)]),
        ((999, 699, 1, 1), [(744, 444)]),
    ],
)
def test_a_window_selects_its_tiles(window: tuple[int, int, int, int], tiles: list[tuple[int, int]]) -> None:
    """A window selects the tiles with its first and its last pixel, and none beyond."""
    spec = make_spec(render=RenderParams(window=window))
    assert [(tile.col, tile.row) for tile in plan_tiles(EXTENT, spec, 12) if tile] == tiles


def test_the_number_of_tiles_is_limited() -> None:
    """A survey of 12 tiles is planned with a limit of 12, and rejected with a limit of 11."""
    assert len(plan_tiles(EXTENT, make_spec(), 12)) == 12
    with pytest.raises(PayloadTooLarge, match="has 12 tiles of 256 pixels in 1000 x 700 pixels; the limit is 11 tiles"):
        plan_tiles(EXTENT, make_spec(), 11)


def test_the_candidates_of_a_polygon_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A polygon whose window has more than 16 times the tiles of a survey is rejected before its area is computed."""
    ring = [[3.0, 45.11], [3.12, 45.11], [3.12, 45.15], [3.0, 45.15], [3.0, 45.11]]
    render = RenderParams.model_validate({"polygon": {"type": "Polygon", "coordinates": [ring]}})
    candidates = len(plan_tiles(EXTENT, make_spec(render=render, tile=64), 1000))
    assert candidates > 32
    monkeypatch.setattr(planner_module, "_within", lambda *_: pytest.fail("computed"))
    with pytest.raises(PayloadTooLarge, match=r"has up to \d+ tiles"):
        plan_tiles(EXTENT, make_spec(render=render, tile=64), 2)


def test_one_window_is_one_tile() -> None:
    """Without a tile size, the part of the image is one tile."""
    spec = make_spec(tile=None, render=RenderParams(window=(10, 20, 500, 300)))
    assert plan_tiles(EXTENT, spec, 1) == (Window(10, 20, 500, 300),)
    assert plan_tiles(EXTENT, make_spec(tile=None), 1) == (Window(0, 0, 1000, 700),)


def test_an_image_without_a_header_is_one_tile() -> None:
    """An image of unknown size can be asked about whole or by window, and can't be surveyed."""
    assert plan_tiles(None, make_spec(tile=None), 1) == (None,)
    window = RenderParams(window=(1, 2, 3, 4))
    assert plan_tiles(None, make_spec(tile=None, render=window), 1) == (Window(1, 2, 3, 4),)
    with pytest.raises(NotGeoreferenced, match="Only TIFF and SICD"):
        plan_tiles(None, make_spec(), 100)


def test_a_survey_requires_a_georeference() -> None:
    """A TIFF without a georeference is one tile or rejected with the reason."""
    extent = ImageExtent(1000, 700, None, "no geotransform")
    assert plan_tiles(extent, make_spec(tile=None), 1) == (Window(0, 0, 1000, 700),)
    with pytest.raises(NotGeoreferenced, match="no geotransform"):
        plan_tiles(extent, make_spec(), 100)
