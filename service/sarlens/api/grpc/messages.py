"""Messages of callers, decoded after their fields are counted in the bytes, and responses, written in time."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from sarlens.errors import BadRequest, PayloadTooLarge, Timeout
from sarlens.json_input import MAX_TEXT_BYTES

MAX_FIELDS = 16_384
"""Maximum number of fields in a message: each element of a repeated field counts."""
_WRITE_TIMEOUT_S = 30.0
"""Time within which a client must make room for a response."""
_VARINT, _FIXED64, _LENGTH, _GROUP_START, _GROUP_END, _FIXED32 = range(6)
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4, _GROUP_START: 0, _GROUP_END: 0}

MessageT = TypeVar("MessageT", bound=Message)


async def write_response(context: Any, response: Any) -> None:
    """Write a response; a client that doesn't read holds neither the call nor the worker.

    Raises:
        Timeout: the client didn't read the earlier ones in time.
    """
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await context.write(response)
    except TimeoutError:
        raise Timeout(f"The client didn't read its responses for {_WRITE_TIMEOUT_S:g} s.") from None


def decode(message_cls: type[MessageT], data: bytes) -> MessageT:
    """Decode a message.

    Raises:
        BadRequest: the bytes aren't such a message.
        PayloadTooLarge: the message has too many fields, or a long text that isn't ASCII.
    """
    # Each field has at least two bytes, and each packed number one.
    if len(data) > MAX_FIELDS:
        check_size(message_cls.DESCRIPTOR, data)
    try:
        message: MessageT = message_cls.FromString(data)
    except DecodeError:
        raise BadRequest(f"The request isn't a valid {message_cls.DESCRIPTOR.name} message.") from None
    return message


def check_size(descriptor: Descriptor, data: bytes) -> None:
    """Count the fields of an encoded message, without the contents of its texts and bytes.

    The rest of a malformed message isn't counted, since the decoder stops there too.

    Raises:
        PayloadTooLarge: there are more than ``MAX_FIELDS``, or a text of over ``MAX_TEXT_BYTES`` isn't ASCII.
    """
    fields = 0
    stack: list[tuple[Any, int, int]] = [(descriptor, 0, len(data))]
    while stack:
        descriptor, position, end = stack.pop()
        while position < end and fields <= MAX_FIELDS:
            number, wire_type, start, position = _next_field(data, position, end)
            fields += 1
            if wire_type != _LENGTH or position > end:
                continue
            field = descriptor.fields_by_number.get(number)
            kind = FieldDescriptor.TYPE_BYTES if field is None else field.type
            if kind == FieldDescriptor.TYPE_MESSAGE:
                stack.append((field.message_type, start, position))
            elif kind == FieldDescriptor.TYPE_STRING:
                _check_text(data, start, position - start)
            elif kind != FieldDescriptor.TYPE_BYTES:  # packed numbers
                fields += position - start
    if fields > MAX_FIELDS:
        raise PayloadTooLarge(f"The message has more than {MAX_FIELDS} fields.")


def _next_field(data: bytes, position: int, end: int) -> tuple[int, int, int, int]:
    """Return a field's number, its wire type, and the start and end of its content.

    The end is beyond ``end`` if the field is malformed.
    """
    tag, position = _varint(data, position, end)
    wire_type = tag & 7
    if wire_type == _VARINT:
        return tag >> 3, wire_type, position, _varint(data, position, end)[1]
    size = _FIXED_SIZES.get(wire_type, end + 1)
    if wire_type == _LENGTH:
        size, position = _varint(data, position, end)
    return tag >> 3, wire_type, position, position + size


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number and the position after it, which is beyond ``end`` if the number is malformed."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, end + 1


def _check_text(data: bytes, start: int, size: int) -> None:
    if size > MAX_TEXT_BYTES and np.frombuffer(data, np.uint8, size, start).max() >= 128:
        raise PayloadTooLarge(f"A text with characters that aren't ASCII has more than {MAX_TEXT_BYTES} bytes.")
