"""The libraries that most images need, which the gateway imports when it is ready."""

from __future__ import annotations


def load_libraries() -> None:
    """Import GDAL and boto3, which takes 0.3 s of CPU. The first TIFF and the first ``s3://`` URL do so otherwise."""
    import sarlens.imagery.formats.row_reader  # noqa: PLC0415
    import sarlens.imagery.sources.aws_credential_chain  # noqa: F401, PLC0415
