"""Settings of the gateway: one class, one prefix, read once at start."""

from sarlens.settings.batches import BatchSettings, FilesSettings
from sarlens.settings.imagery import CacheSettings, HttpsSettings, RenderSettings, S3Settings
from sarlens.settings.model import Settings, load_settings
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
from sarlens.settings.table import current_settings, describe
from sarlens.settings.workers import RoutingSettings, WorkerSettings

__all__ = [
    "AdmissionSettings",
    "BatchSettings",
    "CacheSettings",
    "ConsoleSettings",
    "CorsSettings",
    "FilesSettings",
    "GrpcSettings",
    "HttpsSettings",
    "KeysSettings",
    "LimitSettings",
    "ManagementSettings",
    "McpSettings",
    "RenderSettings",
    "ResponsesSettings",
    "RoutingSettings",
    "S3Settings",
    "ServerSettings",
    "Settings",
    "SurveySettings",
    "TracingSettings",
    "WorkerSettings",
    "current_settings",
    "describe",
    "load_settings",
]
