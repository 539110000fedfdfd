"""Tables of the job database, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

from sarlens.jobs.models import ACTIVE_STATUSES

METADATA = MetaData()

JOBS = Table(
    "sarlens_jobs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("process", String(64), nullable=False),
    Column("owner", String(200), nullable=False, index=True),
    Column("request", Text, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("created", Float(53), nullable=False, index=True),
    Column("updated", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("version", Text),
    Column("model", Text),
    Column("tiles", Integer),
    Column("output", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("code", String(64)),
    Column("message", Text),
    Column("lease_owner", String(64), nullable=False, server_default=""),
    Column("lease_expires", Float(53), nullable=False, server_default="0"),
    Column("queued", Float(53), nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
)
_IS_ACTIVE = JOBS.c.status.in_(ACTIVE_STATUSES)
Index("sarlens_jobs_output", JOBS.c.output, unique=True, sqlite_where=_IS_ACTIVE, postgresql_where=_IS_ACTIVE)
"""One row per job. ``lease_owner`` is the process that runs it. Another process can claim the job at
``lease_expires``, by the clock of the database, unless the owner renews the lease. ``queued`` is the time since when
the job waits: its creation, or its last release. ``bytes`` counts the request and the answers."""

TILES = Table(
    "sarlens_tiles",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("tile", Integer, primary_key=True),
    Column("outcome", String(16), nullable=False),
)
"""Finished tiles. ``outcome`` is ``answered``, ``blank`` or ``failed``."""

ANSWERS = Table(
    "sarlens_answers",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False),
    Column("id", String(128), nullable=False, unique=True),
    Column("question", Integer, nullable=False),
    Column("time", Float(53), nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("feature", Text, nullable=False),
    Index("sarlens_answers_by_job", "job", "number"),
    Index("sarlens_answers_by_question", "job", "question", "number"),
)
"""One GeoJSON feature per answer, numbered in the order of the commits, with the index of the question and the time of
the commit. ``west`` to ``north`` are its bounds in degrees, or null if the image isn't georeferenced. Across the
antimeridian, ``east`` exceeds 180."""

LAYERS = Table(
    "sarlens_layers",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("question", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("first", Float(53)),
    Column("last", Float(53)),
)
"""One row per question of a job with answers: its text, the image, and the extent of the answers in space and time."""

CANDIDATES = Table(
    "sarlens_candidates",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("tile", Integer, primary_key=True, autoincrement=False),
    Column("question", Integer, primary_key=True, autoincrement=False),
    Column("candidates", Text, nullable=False),
)
"""Objects that each tile shows, as a JSON array for each question, before those of all tiles are merged."""

OBJECTS = Table(
    "sarlens_objects",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False),
    Column("id", String(128), nullable=False, unique=True),
    Column("question", Integer, nullable=False),
    Column("time", Float(53), nullable=False),
    Column("west", Float(53)),
    Column("south", Float(53)),
    Column("east", Float(53)),
    Column("north", Float(53)),
    Column("feature", Text, nullable=False),
    Index("sarlens_objects_by_question", "job", "question", "number"),
)
"""One GeoJSON feature per object of a survey, with the columns of ``ANSWERS`` and the index of the question."""

FILES = Table(
    "sarlens_files",
    METADATA,
    Column("id", String(96), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False, index=True),
    Index("sarlens_files_by_owner", "owner", "created"),
)
"""One row per file, whose content is in the file storage under its id."""

BATCHES = Table(
    "sarlens_batches",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("input", String(96), nullable=False, index=True),
    Column("expires", Float(53), nullable=False),
    Column("total", Integer),
    Column("validated", Float(53)),
    Column("canceling", Float(53)),
    Column("finalizing", Float(53)),
    Column("ended", String(16)),
    Column("errors", Text),
    Column("completed", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("output_file", Text),
    Column("error_file", Text),
)
"""What a job has in addition if it is a batch. ``input`` is the id of its input file, or empty for another input.
``total`` is the number of lines, which validation sets. ``canceling`` is the time of a request to cancel. ``ended`` is
the final status, which the counts and the names of the results are written with."""

LINES = Table(
    "sarlens_lines",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("failed", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Index("sarlens_lines_by_result", "job", "failed", "line"),
)
"""Results of the lines of an active batch, by the index of the line, as they stand in its output or error file.
The index has all that a count needs, so that no document is read for it."""

RESPONSES = Table(
    "sarlens_responses",
    METADATA,
    Column("id", String(96), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("previous", String(96)),
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False, index=True),
    Column("items", Text, nullable=False),
    Column("response", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Index("sarlens_responses_by_owner", "owner", "created", "bytes"),
)
"""One row per stored response of the Responses API, with the input items of its request and the response, as JSON.
``previous`` is the response that it continues."""
