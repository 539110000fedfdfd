"""Settings of the Responses API."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sarlens.settings.types import SettingsGroup


class ResponsesSettings(SettingsGroup):
    """The store of the Responses API."""

    store: Annotated[
        bool,
        Field(
            description="Store responses in the job database unless a request has store: false, so that "
            "previous_response_id continues them."
        ),
    ] = False
    retention_s: Annotated[
        float,
        Field(gt=0, le=1e9, description="Time after which a response expires that no other one continues, in seconds."),
    ] = 2_592_000.0
    max_stored_bytes_per_key: Annotated[
        int,
        Field(
            ge=1,
            le=2**50,
            description="Maximum size of stored responses per API key, in bytes; a new one replaces the oldest.",
        ),
    ] = 2**28
