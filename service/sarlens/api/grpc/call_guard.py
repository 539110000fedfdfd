"""Interceptor of gRPC calls: checks the API key before a message is read, and limits calls that need no key."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

import grpc
import grpc.aio

from sarlens.api.grpc.call_context import GrpcCallContext
from sarlens.api.grpc.messages import write_response
from sarlens.errors import BadRequest, Overloaded, PayloadTooLarge, SarlensError, Timeout

_MESSAGE_TIMEOUT_S = 60.0
"""Time within which the message of a call with an API key must arrive."""
_OPEN_MESSAGE_TIMEOUT_S = 5.0
"""The same of a call that needs no key. The network's speed thereby limits the memory of such messages."""
_MAX_OPEN_MESSAGE_BYTES = 16 * 2**10
_MAX_OPEN_STREAMS = 128
_NO_MESSAGE = "The call has no message."

Behavior = Callable[[Any], Awaitable[None]]
"""Serves a call; its context has the encoded messages, and takes the responses."""


class CallGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Turns each method into one that reads its messages itself, so that nothing is read before the checks.

    Args:
        calls: authenticates calls, and reports errors.
        protected: names of the services that require an API key; their servicers decode the messages.
        open_methods: methods of these services that require no key, as ``/package.Service/Method``.
        max_concurrent_calls: maximum number of concurrent calls of the server. One API key has at most half of them.
    """

    def __init__(
        self,
        calls: GrpcCallContext,
        protected: Collection[str],
        open_methods: Collection[str],
        max_concurrent_calls: int,
    ) -> None:
        self._calls = calls
        self._protected = tuple(f"/{service}/" for service in protected)
        self._open_methods = frozenset(open_methods)
        self._open_streams = 0
        self._max_calls_per_key = max(1, max_concurrent_calls // 2)
        self._calls_by_key: Counter[str] = Counter()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the handler of a call, or one that rejects the call."""
        method, handler = handler_call_details.method, await continuation(handler_call_details)
        if handler is None:
            return None
        if not method.startswith(self._protected) or method in self._open_methods:
            return _reads_itself(handler, self._open_call(handler))
        error = self._calls.key_error(handler_call_details.invocation_metadata)
        if error is not None:
            return _reads_itself(handler, self._rejection(method, error))
        if handler.request_streaming:
            behavior: Behavior = partial(handler.stream_stream, None)
        else:
            behavior = self._protected_call(method, handler)
        return _reads_itself(handler, self._within_share(method, behavior))

    def _rejection(self, method: str, error: SarlensError) -> Behavior:
        async def reject(context: Any) -> None:
            async with self._calls.handle(context, method):
                raise error

        return reject

    def _within_share(self, method: str, behavior: Behavior) -> Behavior:
        """Return a behavior that rejects a call if its API key has too many open, so that others find room."""

        async def call(context: Any) -> None:
            try:
                key = self._calls.key_name(context)
            except SarlensError as error:  # the key was disabled meanwhile
                await self._rejection(method, error)(context)
                return
            if key is None:
                await behavior(context)
                return
            if self._calls_by_key[key] >= self._max_calls_per_key:
                message = f"This API key has {self._max_calls_per_key} open calls, which is the limit for one key."
                await self._rejection(method, Overloaded(message, retry_after=1))(context)
                return
            self._calls_by_key[key] += 1
            try:
                await behavior(context)
            finally:
                self._calls_by_key[key] -= 1
                if not self._calls_by_key[key]:
                    del self._calls_by_key[key]

        return call

    def _protected_call(self, method: str, handler: Any) -> Behavior:
        async def call(context: Any) -> None:
            try:
                data = await _next_message(context, _MESSAGE_TIMEOUT_S)
            except SarlensError as error:
                await self._rejection(method, error)(context)
                return
            try:
                await _respond(handler, data, context)
            except Timeout as error:  # the client doesn't read
                await context.abort(grpc.StatusCode[error.grpc_status], error.message)

        return call

    def _open_call(self, handler: Any) -> Behavior:
        async def call(context: Any) -> None:
            try:
                with self._open_stream(handler.request_streaming or handler.response_streaming):
                    messages = _small_messages(handler, context)
                    request = messages if handler.request_streaming else await anext(messages, None)
                    if request is None:
                        raise BadRequest(_NO_MESSAGE)
                    await _respond(handler, request, context)
            except SarlensError as error:
                await context.abort(grpc.StatusCode[error.grpc_status], error.message)

        return call

    @contextmanager
    def _open_stream(self, is_stream: bool) -> Iterator[None]:
        """Count an open stream.

        Raises:
            Overloaded: there are too many.
        """
        if is_stream and self._open_streams >= _MAX_OPEN_STREAMS:
            raise Overloaded(f"{_MAX_OPEN_STREAMS} streams of calls that need no API key are open.", retry_after=1)
        self._open_streams += is_stream
        try:
            yield
        finally:
            self._open_streams -= is_stream


def _reads_itself(handler: Any, behavior: Behavior) -> Any:
    """A handler that reads and writes encoded messages through its context, whether there is one or many."""

    async def call(_: object, context: Any) -> None:
        try:
            await behavior(context)
        except Exception as error:  # noqa: BLE001  raised again
            # gRPC keeps the exception of an aborted call in a cycle; without its frames, it doesn't keep the message.
            error.__context__ = None
            raise error.with_traceback(None) from None

    return grpc.stream_stream_rpc_method_handler(call, response_serializer=handler.response_serializer)


async def _respond(handler: Any, request: Any, context: Any) -> None:
    """Call the method of a service, and write its responses."""
    if handler.unary_unary is not None:
        await write_response(context, await handler.unary_unary(request, context))
        return
    method = handler.unary_stream or handler.stream_stream
    if inspect.isasyncgenfunction(method):
        async with aclosing(method(request, context)) as responses:
            async for response in responses:
                await write_response(context, response)
    else:  # it writes its responses to the context
        await method(request, context)


async def _small_messages(handler: Any, context: Any) -> AsyncGenerator[Any]:
    """Receive the messages of a call that needs no key.

    Raises:
        PayloadTooLarge: a message is too large.
        Timeout: a message didn't arrive in time.
    """
    while (data := await _receive(context, _OPEN_MESSAGE_TIMEOUT_S)) is not grpc.aio.EOF:
        if len(data) > _MAX_OPEN_MESSAGE_BYTES:
            raise PayloadTooLarge(f"The message exceeds the limit of {_MAX_OPEN_MESSAGE_BYTES} bytes.")
        yield handler.request_deserializer(data)


async def _next_message(context: Any, timeout_s: float) -> bytes:
    """Receive the encoded message of a call.

    Raises:
        Timeout: it didn't arrive in time.
        BadRequest: the client ended its side of the call.
    """
    data = await _receive(context, timeout_s)
    if data is grpc.aio.EOF:
        raise BadRequest(_NO_MESSAGE)
    return bytes(data)


async def _receive(context: Any, timeout_s: float) -> Any:
    """Receive an encoded message, or ``EOF``. gRPC's own iterator would keep a message in a cycle.

    Raises:
        Timeout: it didn't arrive in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await context.read()
    except TimeoutError:
        raise Timeout(f"The message of the call didn't arrive within {timeout_s:g} s.") from None
