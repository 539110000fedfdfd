"""The door: who comes in, what they may ask, and how much of it."""

from __future__ import annotations

from collections.abc import Iterable

from sarlens.admission.keys import Key, KeyFile
from sarlens.admission.quota import Quotas
from sarlens.errors import NotAllowed, Unauthenticated
from sarlens.imagery.address import addresses
from sarlens.request import View

_BEARER = b"bearer "


class Door:
    """Knows callers by their keys; without a file of keys it is open to everybody, whose key is None."""

    def __init__(self, keys: KeyFile | None, quotas: Quotas) -> None:
        self._keys = keys
        self._quotas = quotas

    def key_of(self, headers: Iterable[tuple[bytes, bytes]]) -> Key | None:
        """The key that a request carries in its headers.

        Raises:
            Unauthenticated: it carries none that is known.
        """
        if self._keys is None:
            return None
        for name, value in headers:
            if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
                key = self._keys.find(value[len(_BEARER) :].strip().decode("latin-1"))
                if key is not None:
                    return key
                raise Unauthenticated("The API key is not known here, or no longer.")
        raise Unauthenticated("This gateway asks for an API key: Authorization: Bearer KEY.")

    def key_named(self, name: str) -> Key | None:
        """The key of a caller who has gone; raises Unauthenticated where it is no longer known."""
        if self._keys is None:
            return None
        key = self._keys.named(name)
        if key is None:
            raise Unauthenticated("The API key that asked for this job is no longer known here.")
        return key

    async def admit(self, key: Key | None, model: str, views: Iterable[View], requests: int = 1) -> None:
        """Let requests in, before any image is fetched.

        Raises:
            NotAllowed: the key does not open the model or one of the images.
            QuotaExceeded: it has been used too often.
            BadRequest: an image's URL is none.
        """
        if key is None:
            return
        if not key.may_ask(model):
            raise NotAllowed(f"This API key does not open the model {model[:100]!r}.", param="model")
        self.look(key, views)
        await self._quotas.take(key, requests)

    async def see(self, key: Key | None, view: View) -> None:
        """Let a request in that asks for a picture alone; raises as ``admit`` does."""
        if key is not None:
            self.look(key, [view])
            await self._quotas.take(key, 1)

    def look(self, key: Key | None, views: Iterable[View]) -> None:
        """Refuse images that a key does not open, with all that is read for them: annotation, a whole product.

        Of a STAC Item that is done when its asset is chosen.

        Raises:
            NotAllowed: one of them.
            BadRequest: an image's URL is none.
        """
        if key is None or key.images is None:
            return
        if not all(key.may_see(address) for view in views for address in addresses(view)):
            raise NotAllowed("This API key does not open an image of the request.", param="image_url")

    async def charge(self, key: Key | None, tokens: int) -> None:
        """Count what an answer has cost."""
        if key is not None:
            await self._quotas.charge(key, tokens)
