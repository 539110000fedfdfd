"""Settings of rendering, image sources and caches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sarlens.settings.types import Bytes, HttpUrl, Seconds, SettingsGroup


class RenderSettings(SettingsGroup):
    """Rendering of measurements as 8-bit images."""

    max_threads: Annotated[
        int,
        Field(
            ge=0, le=256, description="Maximum number of images decoded and rendered at the same time; 0: one per core."
        ),
    ] = 0
    max_reads: Annotated[
        int,
        Field(
            ge=0,
            le=4096,
            description="Maximum number of images in S3 that are read at the same time; 0: 16 for each image decoded.",
        ),
    ] = 0
    max_bucket_read_ratio: Annotated[
        float, Field(gt=0, le=1, description="Share of these reads that the images of one bucket may use.")
    ] = 0.25
    image_timeout_s: Annotated[
        Seconds,
        Field(description="Maximum time to read and render one image, in seconds, including its waits for a thread."),
    ] = 60.0
    max_decode_cpu_s: Annotated[
        Seconds, Field(description="Maximum CPU time to read and decode one image, in seconds.")
    ] = 10.0


class S3Settings(SettingsGroup):
    """The store behind ``s3://``. Credentials come from the AWS chain: environment, profile, IRSA, instance role."""

    endpoint: Annotated[
        HttpUrl | None,
        Field(description="Endpoint of an S3 server other than AWS.", examples=["https://s3.example.com"]),
    ] = None
    region: Annotated[
        str | None, Field(description="Region; unset, the region of the AWS chain.", examples=["eu-central-1"])
    ] = None
    profile: Annotated[str | None, Field(description="Profile of the AWS configuration files.", examples=["radar"])] = (
        None
    )
    anonymous: Annotated[
        bool, Field(description="Send requests without a signature, as public SAR archives require.")
    ] = False
    requester_pays: Annotated[
        bool, Field(description="Pay for requests to buckets whose requesters pay, such as sentinel-s1-l1c.")
    ] = False
    buckets: Annotated[
        tuple[str, ...],
        Field(description="Buckets that requests may read; empty, all.", examples=["scenes,archive"]),
    ] = ()
    request_timeout_s: Annotated[Seconds, Field(description="Timeout of a request to the store, in seconds.")] = 20.0
    metadata_ttl_s: Annotated[
        float,
        Field(ge=0, description="Time that the gateway caches the version of an object, in seconds."),
    ] = 1.0
    first_read_bytes: Annotated[
        int,
        Field(
            ge=64 * 1024,
            le=8 * 2**20,
            description="Bytes of an object that the gateway fetches together with its version. A small image, or a "
            "COG with the overview that is rendered, then needs no further request.",
        ),
    ] = 2**20


class HttpsSettings(SettingsGroup):
    """Images behind ``https:`` URLs."""

    hosts: Annotated[
        tuple[str, ...],
        Field(
            description="Hosts that requests may read from, such as example.com or *.example.com; empty, none.",
            examples=["example.com,*.example.org"],
        ),
    ] = ()
    request_timeout_s: Annotated[Seconds, Field(description="Timeout for reading one image, in seconds.")] = 20.0


class CacheSettings(SettingsGroup):
    """Memory of the caches, per process."""

    max_rendered_bytes: Annotated[
        Bytes, Field(description="Maximum size of the cache of rendered images, in bytes.")
    ] = 256 * 2**20
    max_range_bytes: Annotated[
        Bytes, Field(description="Maximum size of the cache of byte ranges of source images, in bytes.")
    ] = 256 * 2**20
