"""URLs of job databases, and the check at startup."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sarlens.jobs.engine import DatabaseError, check_database, open_engine, parse_database_url

PASSWORD = "open-sesame"
FORMS = r"must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


@pytest.mark.parametrize("text", ["mysql://host/x", "nonsense", "sqlite://", "", f"mysql://user:{PASSWORD}@host/jobs"])
def test_other_databases_are_rejected(text: str) -> None:
    """A URL other than a SQLite file or PostgreSQL raises DatabaseError without the URL."""
    with pytest.raises(DatabaseError, match=FORMS) as raised:
        parse_database_url(text)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_uses_psycopg(scheme: str) -> None:
    """Every scheme of PostgreSQL selects the driver psycopg."""
    url = parse_database_url(f"{scheme}://user:{PASSWORD}@host/jobs")
    assert (url.drivername, url.host, url.database) == ("postgresql+psycopg", "host", "jobs")


def test_commits_in_sqlite_are_durable(tmp_path: Path) -> None:
    """Connections use a write-ahead log with synchronous=FULL (2), and folders are created."""
    engine = open_engine(parse_database_url(f"sqlite:///{tmp_path / 'deep' / 'jobs.db'}"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    engine.dispose()


def test_the_check_creates_the_tables(tmp_path: Path) -> None:
    """The check creates the file with ten tables."""
    check_database(f"sqlite:///{tmp_path}/state/jobs.db")
    with closing(sqlite3.connect(tmp_path / "state" / "jobs.db")) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
    assert {name for (name,) in tables} == {"sarlens_jobs", "sarlens_tiles", "sarlens_answers", "sarlens_layers"} | {
        "sarlens_candidates",
        "sarlens_objects",
        "sarlens_files",
        "sarlens_batches",
        "sarlens_lines",
        "sarlens_responses",
    }


def test_an_unusable_file_is_rejected(tmp_path: Path) -> None:
    """A text file, a folder, and a path that can't be created raise DatabaseError with their URL."""
    (tmp_path / "text.db").write_text("no database " * 100)
    for path in (f"{tmp_path}/text.db", str(tmp_path), "/proc/nowhere/jobs.db"):
        with pytest.raises(DatabaseError, match=f"the job database sqlite:///{path} isn't usable: "):
            check_database(f"sqlite:///{path}")


def test_the_password_of_an_unreachable_database_is_masked() -> None:
    """An unreachable PostgreSQL server raises DatabaseError without the password."""
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseError, match=r"postgresql://user:\*\*\*@127\.0\.0\.1:9/jobs isn't usable") as raised:
        check_database(f"postgresql://user:{PASSWORD}@127.0.0.1:9/jobs")
    assert PASSWORD not in str(raised.value)
