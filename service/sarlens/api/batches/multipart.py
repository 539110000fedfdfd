"""Parser of ``multipart/form-data`` (RFC 7578) with one file, whose content is passed on as it arrives."""

from __future__ import annotations

import re
from collections.abc import Callable

from sarlens.errors import BadRequest, PayloadTooLarge

_BOUNDARY = re.compile(
    r'multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE
)
_PARAMETER = re.compile(rb';\s*(name|filename)="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)
_MAX_HEAD_BYTES = 8192
_MAX_FIELD_BYTES = 8192
_MAX_FIELDS = 16
_HEAD_END = b"\r\n\r\n"


class MultipartParser:
    """Parses one body. ``fields`` and ``filename`` are complete after ``end``.

    A field is a text of at most 8 KiB, and there are at most 16 of them. A file can be empty.
    """

    def __init__(self, content_type: str, file_field: str, write: Callable[[bytes], object]) -> None:
        """Create the parser.

        Args:
            content_type: value of the header ``Content-Type``, with the boundary.
            file_field: name of the part that is the file.
            write: gets the content of the file in parts.

        Raises:
            BadRequest: the body isn't ``multipart/form-data``.
        """
        found = _BOUNDARY.match(content_type)
        if found is None:
            raise BadRequest("The body must be multipart/form-data with a boundary.")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._file_field = file_field
        self._write = write
        self._delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
        # The first delimiter has no line break before it if there is no preamble.
        self._buffer = bytearray(b"\r\n")
        self._state: Callable[[], bool] = self._skip_preamble
        self._name = ""
        self._value = bytearray()

    def feed(self, data: bytes) -> None:
        """Parse the next bytes of the body.

        Raises:
            BadRequest: the body is malformed.
            PayloadTooLarge: a field is too long, or there are too many.
        """
        self._buffer += data
        while self._state():
            pass

    def end(self) -> None:
        """Check that the body is complete, and has a file.

        Raises:
            BadRequest: it isn't, or has none.
        """
        if self._state != self._skip_epilogue:
            raise BadRequest("The multipart body ended before it was complete.")
        if self.filename is None:
            raise BadRequest(f"{self._file_field} is missing.", param=self._file_field)

    # Each state consumes bytes of the buffer, and returns whether there can be more to do.

    def _skip_preamble(self) -> bool:
        return self._read_content(lambda _: None)

    def _read_field(self) -> bool:
        return self._read_content(self._extend_value)

    def _read_file(self) -> bool:
        return self._read_content(self._write)

    def _read_content(self, consume: Callable[[bytes], object]) -> bool:
        """Consume the bytes before the next delimiter."""
        buffer, delimiter = self._buffer, self._delimiter
        position = buffer.find(delimiter)
        if position < 0:
            # The end can be the start of a delimiter.
            if (safe := len(buffer) - len(delimiter) + 1) > 0:
                consume(bytes(buffer[:safe]))
                del buffer[:safe]
            return False
        consume(bytes(buffer[:position]))
        del buffer[: position + len(delimiter)]
        self._end_part()
        self._state = self._read_delimiter_end
        return True

    def _end_part(self) -> None:
        if self._state == self._read_field:
            try:
                self.fields[self._name] = self._value.decode()
            except UnicodeDecodeError:
                raise BadRequest("A field of the form isn't UTF-8.") from None
            self._value.clear()

    def _read_delimiter_end(self) -> bool:
        """A delimiter ends with a line break, or with two hyphens after the last part."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        if buffer.startswith(b"--"):
            self._state = self._skip_epilogue
            return True
        end = buffer.find(b"\r\n")
        if end < 0 and len(buffer) <= _MAX_FIELDS:
            return False
        if end < 0 or buffer[:end].strip(b" \t"):
            raise BadRequest("The multipart body has a malformed delimiter.")
        del buffer[: end + 2]
        self._state = self._read_head
        return True

    def _read_head(self) -> bool:
        # A part without headers begins with the line break that would end them.
        end = self._buffer.find(_HEAD_END)
        if end < 0 or end > _MAX_HEAD_BYTES:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise PayloadTooLarge("The headers of a part of the form are too long.")
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + len(_HEAD_END)]
        self._begin_part(head)
        return True

    def _begin_part(self, head: bytes) -> None:
        disposition = next(
            (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition:")), b""
        )
        parameters = {name.lower(): _unquote(value) for name, value in _PARAMETER.findall(disposition)}
        self._name = parameters.get(b"name", "")
        if b"name" not in parameters:
            raise BadRequest("A part of the form has no name.")
        if self._name == self._file_field:
            if self.filename is not None:
                raise BadRequest("The form has several files.", param=self._file_field)
            self.filename = parameters.get(b"filename", "")
            self._state = self._read_file
            return
        if len(self.fields) >= _MAX_FIELDS:
            raise PayloadTooLarge(f"A form can have at most {_MAX_FIELDS} fields.")
        self._state = self._read_field

    def _extend_value(self, data: bytes) -> None:
        self._value += data
        if len(self._value) > _MAX_FIELD_BYTES:
            raise PayloadTooLarge(f"A field of the form can have at most {_MAX_FIELD_BYTES} bytes.", param=self._name)

    def _skip_epilogue(self) -> bool:
        self._buffer.clear()
        return False


def _unquote(value: bytes) -> str:
    # Browsers encode a quotation mark as %22, others with a backslash.
    return re.sub(rb'\\(["\\])', rb"\1", value).decode(errors="replace")
