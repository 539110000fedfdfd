"""Settings of files and of batches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sarlens.settings.state_directory import state_directory
from sarlens.settings.types import Seconds, SettingsGroup


class FilesSettings(SettingsGroup):
    """Files of callers, such as the inputs and results of batches."""

    location: Annotated[
        str | None,
        Field(
            pattern=r"^(/.*|s3://[^/]+(/.*)?)$",
            description="Folder, or s3:// prefix, of the contents of files, the same for all gateways with one job "
            "database; unset, sarlens/files in $XDG_STATE_HOME or ~/.local/state.",
            examples=["s3://sarlens-files/gateway"],
        ),
    ] = None
    max_file_bytes: Annotated[int, Field(ge=1, le=2**40, description="Maximum size of a file, in bytes.")] = 200 * 2**20
    max_files_per_key: Annotated[int, Field(ge=1, le=1_000_000, description="Maximum number of files per API key.")] = (
        1000
    )
    max_stored_bytes_per_key: Annotated[
        int, Field(ge=1, le=2**50, description="Maximum size of all files per API key, in bytes.")
    ] = 2**32
    retention_s: Annotated[
        float,
        Field(gt=0, le=1e9, description="Time after which a file expires unless its upload says, in seconds."),
    ] = 2_592_000.0

    @property
    def location_in_force(self) -> str:
        """The folder or the prefix in force, also if the setting is unset."""
        return self.location or str(state_directory() / "files")


class BatchSettings(SettingsGroup):
    """Batches: requests in the lines of a file."""

    max_lines: Annotated[int, Field(ge=1, le=10_000_000, description="Maximum number of lines of a batch.")] = 50_000
    max_line_bytes: Annotated[int, Field(ge=1, le=2**30, description="Maximum size of a line, in bytes.")] = 8 * 2**20
    max_concurrent_lines: Annotated[
        int, Field(ge=1, le=10_000, description="Maximum number of lines of a batch that run concurrently.")
    ] = 16
    max_concurrent_jobs: Annotated[
        int, Field(ge=1, le=1000, description="Maximum number of concurrent batches per process.")
    ] = 4
    retry_timeout_s: Annotated[
        Seconds,
        Field(description="Time that a batch retries a line while workers or stores fail, in seconds."),
    ] = 600.0
