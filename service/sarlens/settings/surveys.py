"""Settings of surveys and other jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from sarlens.settings.state_directory import state_directory
from sarlens.settings.types import Seconds, SettingsGroup


class SurveySettings(SettingsGroup):
    """Surveys and other jobs, which outlive the request that started them."""

    database: Annotated[
        SecretStr | None,
        Field(
            description="Database of jobs: sqlite:///path or postgresql://user:password@host/name; unset, "
            "sarlens/jobs.db in $XDG_STATE_HOME or ~/.local/state.",
            examples=["sqlite:////var/lib/sarlens/jobs.db"],
        ),
    ] = None
    max_tiles: Annotated[int, Field(ge=1, le=10_000_000, description="Maximum number of tiles per survey.")] = 20_000
    max_concurrent_tiles: Annotated[
        int,
        Field(ge=1, le=10_000, description="Maximum number of tiles of a survey that workers process concurrently."),
    ] = 64
    max_concurrent_jobs: Annotated[
        int, Field(ge=1, le=1000, description="Maximum number of concurrent surveys per process.")
    ] = 4
    retry_timeout_s: Annotated[
        Seconds,
        Field(description="Time that a survey retries a tile while workers or the store fail, in seconds."),
    ] = 600.0
    retention_s: Annotated[
        float,
        Field(gt=0, le=1e9, description="Time that a finished job and its answers stay in the database, in seconds."),
    ] = 604_800.0
    max_unfinished_jobs_per_key: Annotated[
        int, Field(ge=1, le=1_000_000, description="Maximum number of unfinished jobs per API key.")
    ] = 100
    max_stored_bytes_per_key: Annotated[
        int,
        Field(ge=1, le=2**50, description="Maximum size of stored jobs and answers per API key, in bytes."),
    ] = 2**32
    output_prefixes: Annotated[
        tuple[Annotated[str, Field(pattern=r"^s3://[^/]+(/.*)?$")], ...],
        Field(
            description="Prefixes that jobs may write results to, such as s3://results/surveys; empty, none.",
            examples=["s3://results/surveys"],
        ),
    ] = ()

    @property
    def database_url(self) -> str:
        """URL of the database in force, also if the setting is unset."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{state_directory() / 'jobs.db'}"
