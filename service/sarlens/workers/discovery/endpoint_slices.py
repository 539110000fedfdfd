"""The endpoint slices of a Kubernetes service: a list, and the events of a watch that change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_MAX_EVENT_BYTES = 2**24


class InvalidSlices(Exception):
    """The list or an event doesn't have the form of the API."""


class WatchExpired(Exception):
    """The API no longer has the version from which the watch starts."""


class EndpointSlices:
    """Endpoint slices by name.

    Args:
        document: the EndpointSliceList of the API.

    Raises:
        InvalidSlices: the document is no list.
    """

    def __init__(self, document: bytes) -> None:
        self._unread = b""
        try:
            listed = orjson.loads(document)
            self.version = str(listed.get("metadata", {}).get("resourceVersion", ""))
            self._slices: dict[str, dict[str, Any]] = {
                str(item.get("metadata", {}).get("name", number)): item for number, item in enumerate(listed["items"])
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidSlices("no list of endpoint slices") from None

    def start_watch(self) -> None:
        """Drop the beginning of an event that the previous watch didn't complete."""
        self._unread = b""

    def apply(self, data: bytes) -> bool:
        """Apply the events in the next bytes of a watch; return whether one changed the slices.

        Raises:
            WatchExpired: the watch ends, since its version is too old.
            InvalidSlices: an event doesn't have the form of the API, or has more than 16 MiB.
        """
        *lines, self._unread = (self._unread + data).split(b"\n")
        if len(self._unread) > _MAX_EVENT_BYTES:
            raise InvalidSlices("an event that is too large")
        changed = [self._apply_event(line) for line in lines if line.strip()]
        return any(changed)

    def ready_pods(self) -> Mapping[str, str]:
        """Return the address of each pod that accepts traffic, by its name.

        A pod of a dual-stack service is in a slice of each family; its IPv4 address is the one returned. An endpoint
        that is no pod has its address as its name.

        Raises:
            InvalidSlices: a slice doesn't have the form of the API.
        """
        pods: dict[str, str] = {}
        try:
            for item in sorted(self._slices.values(), key=lambda item: str(item.get("addressType"))):
                for endpoint in item.get("endpoints") or ():
                    if _is_ready(endpoint.get("conditions") or {}):
                        pod = (endpoint.get("targetRef") or {}).get("name")
                        for address in endpoint["addresses"]:
                            pods.setdefault(str(pod or address), str(address))
        except (KeyError, TypeError, AttributeError):
            raise InvalidSlices("an invalid list of endpoint slices") from None
        return pods

    def _apply_event(self, line: bytes) -> bool:
        try:
            event = orjson.loads(line)
            kind, item = event["type"], event["object"]
            if kind == "ERROR":
                raise WatchExpired("an error in place of an event")
            name, self.version = item["metadata"].get("name"), str(item["metadata"]["resourceVersion"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidSlices("an invalid event") from None
        if kind == "BOOKMARK":
            return False
        if kind == "DELETED":
            return self._slices.pop(str(name), None) is not None
        self._slices[str(name)] = item
        return True


def _is_ready(conditions: Mapping[str, Any]) -> bool:
    """Return whether an endpoint accepts traffic; the API defines a missing condition as ready."""
    return conditions.get("ready") is not False and conditions.get("terminating") is not True
