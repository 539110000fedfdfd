"""The settings of the gateway as one object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sarlens.settings.batches import BatchSettings, FilesSettings
from sarlens.settings.environment import PREFIX, SettingError, parse_variables, read_variables, variables
from sarlens.settings.forms import describe_invalid
from sarlens.settings.imagery import CacheSettings, HttpsSettings, RenderSettings, S3Settings
from sarlens.settings.responses import ResponsesSettings
from sarlens.settings.server import ServerSettings
from sarlens.settings.serving import (
    AdmissionSettings,
    ConsoleSettings,
    CorsSettings,
    GrpcSettings,
    KeysSettings,
    LimitSettings,
    ManagementSettings,
    McpSettings,
    TracingSettings,
)
from sarlens.settings.surveys import SurveySettings
from sarlens.settings.types import HttpUrl, Seconds
from sarlens.settings.workers import RoutingSettings, WorkerSettings
from sarlens.validation import InvalidField


class Settings(BaseSettings):
    """All settings. The environment and ``.env`` fill in what isn't passed.

    A setting of a group has two underscores in its variable: ``SARLENS_S3__ENDPOINT``.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address that REST and gRPC listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port of REST, and of /metrics without a management port.")
    ] = 8080
    public_url: Annotated[
        HttpUrl | None,
        Field(
            description="Base URL that callers use for the gateway; links in responses begin with it.",
            examples=["https://radar.example.com"],
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Minimum severity of log messages.")
    ] = "info"
    access_log_ratio: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Fraction of successful requests in the access log, which holds all failed ones; unset, "
            "the access log is off.",
            examples=["0.1"],
        ),
    ] = None
    drain_timeout_s: Annotated[
        Seconds, Field(description="Time that open requests have to finish after SIGTERM, in seconds.")
    ] = 30.0
    profiles: Annotated[
        tuple[Path, ...],
        Field(
            description="Files with [profiles of models](../how-to/profiles.md), in TOML; they precede the profiles of "
            "the package.",
            examples=["/etc/sarlens/profiles.toml"],
        ),
    ] = ()
    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    routing: RoutingSettings = RoutingSettings()
    keys: KeysSettings = KeysSettings()
    grpc: GrpcSettings = GrpcSettings()
    management: ManagementSettings = ManagementSettings()
    admission: AdmissionSettings = AdmissionSettings()
    limit: LimitSettings = LimitSettings()
    render: RenderSettings = RenderSettings()
    s3: S3Settings = S3Settings()
    https: HttpsSettings = HttpsSettings()
    cache: CacheSettings = CacheSettings()
    survey: SurveySettings = SurveySettings()
    files: FilesSettings = FilesSettings()
    batch: BatchSettings = BatchSettings()
    responses: ResponsesSettings = ResponsesSettings()
    cors: CorsSettings = CorsSettings()
    console: ConsoleSettings = ConsoleSettings()
    mcp: McpSettings = McpSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Passed values first, then the environment, then ``.env``."""
        return init_settings, _VariableSource(settings_cls)


class _VariableSource(PydanticBaseSettingsSource):
    """The variables of the environment and of ``.env``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return nothing: ``__call__`` reads all fields at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings that variables hold."""
        return parse_variables(self.settings_cls, read_variables(self.settings_cls))


def load_settings(overrides: dict[str, Any] | None = None) -> Settings:
    """Read all settings.

    Args:
        overrides: nested settings that precede the environment, such as ``{"worker": {"urls": […]}}``.

    Raises:
        SettingError: a setting is unknown or invalid, in one sentence that names its variable.
    """
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        raise SettingError(_first_error(error)) from None


def _first_error(error: ValidationError) -> str:
    invalid = InvalidField.first(error)
    for variable, field_path, field in variables(Settings):
        if invalid.path[: len(field_path)] == field_path:
            return describe_invalid(variable, field, invalid)
    if invalid.message.startswith(PREFIX):
        return invalid.message
    return f"{PREFIX}{'__'.join(invalid.path).upper()}: {invalid.message}"
