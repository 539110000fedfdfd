"""The ``sarbench export`` command."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from sarbench.dataset.release_files import Subset
from sarbench.dataset.sarlang import open_dataset
from sarbench.errors import DatasetError
from sarbench.export.conversations import write_llamafactory, write_swift
from sarbench.export.harnesses import write_lmms_eval, write_vlmevalkit
from sarbench.export.hugging_face import write_hugging_face
from sarbench.export.records import ImageFiles, Record, iter_records
from sarbench.preflight import prepare_directory
from sarbench.run.config import RunConfig, select_samples
from sarlens.prompts.applications import Application


class Format(StrEnum):
    """Formats of an export."""

    VLMEVALKIT = "vlmevalkit"
    LMMS_EVAL = "lmms-eval"
    HF = "hf"
    LLAMAFACTORY = "llamafactory"
    SWIFT = "swift"


def export(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Directory or s3://bucket/prefix of the data set.")],
    to: Annotated[Format, typer.Option(help="Format to write.")],
    out: Annotated[Path, typer.Option(help="Directory to write.")],
    name: Annotated[str, typer.Option(help="Name of the task or data set.")] = "sarlang",
    split: Annotated[Literal["train", "test"], typer.Option(help="Split of the texts.")] = "test",
    application: Annotated[
        list[Application] | None, typer.Option(help="Application to include; repeatable. [default: all]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of texts, selected at random by the seed. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the selection.")] = 0,
    render: Annotated[
        bool, typer.Option("--render", help="Write 8-bit PNG files of the images, for raw images and data sets in S3.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Skip invalid rows instead of stopping.")
    ] = False,
) -> None:
    """Write a data set as a task of an evaluation harness, or as training data of another tool.

    Prompts and selections are those of sarbench run. Predictions on the task are scored by sarbench score.
    """
    dataset = open_dataset(data)
    config = RunConfig(
        model="",
        data=data,
        texts={},
        split=split,
        applications=application or [],
        limit=limit,
        seed=seed,
        prefix_classes={Subset.SARVQA1, Subset.SARVQA2} <= {file.subset for file in dataset.files_of_split(split)},
    )
    selection = select_samples(dataset, config)
    if selection.invalid_rows and not skip_bad_rows:
        raise DatasetError(
            f"{len(selection.invalid_rows):,} invalid rows: list them with sarbench validate, or pass --skip-bad-rows"
        )
    if not selection.total:
        raise DatasetError(f"the {split} split has no texts of the selected applications: see sarbench info")
    prepare_directory(out)
    records = iter_records(selection, config, ImageFiles(dataset, out, rendered=render))
    count = _write(to, records, out, name, split)
    Console().print(f"wrote {count:,} texts to {out}", highlight=False, soft_wrap=True)


def _write(to: Format, records: Iterator[Record], out: Path, name: str, split: str) -> int:
    match to:
        case Format.VLMEVALKIT:
            return write_vlmevalkit(records, out, name, split)
        case Format.LMMS_EVAL:
            return write_lmms_eval(records, out, name)
        case Format.HF:
            return write_hugging_face(records, out, split)
        case Format.LLAMAFACTORY:
            return write_llamafactory(records, out, name)
        case Format.SWIFT:
            return write_swift(records, out, name)
