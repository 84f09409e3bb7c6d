"""The journal of a mirror."""

from __future__ import annotations

import pytest

from debye.archives.download_journal import DownloadJournal, Record, outdated
from debye.errors import DownloadError


@pytest.fixture
def mirror(tmp_path):
    (tmp_path / ".fetch").mkdir()
    return tmp_path


def test_the_journal_keeps_the_last_record_of_each(mirror):
    stored = Record(id="1abc", status="stored", file="ab/1abc.bcif.gz", bytes=3)
    with DownloadJournal(mirror) as journal:
        journal.put(Record(id="1abc", status="failed", problem="x"))
        journal.put(stored)
        journal.put(Record(id="2abc", status="absent"))
    with DownloadJournal(mirror) as journal:
        assert journal.get("1abc") == stored
        assert journal.get("3abc") is None
        assert [record.id for record in journal.stored()] == ["1abc"]


def test_a_damaged_journal_says_what_to_do(mirror):
    (mirror / ".fetch" / "journal.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DownloadError, match="may be deleted"):
        DownloadJournal(mirror)


def test_a_refresh_has_one_beginning_until_it_ends(mirror):
    with DownloadJournal(mirror) as journal:
        first = journal.begin_refresh("a list")
        assert journal.begin_refresh("a list") == first
        journal.end_refresh("a list")
        assert journal.begin_refresh("a list") >= first


def test_files_older_than_the_wanted_revision_are_outdated(mirror):
    def download(name, source="https://x.org"):
        (mirror / name).write_bytes(b"123")
        with DownloadJournal(mirror) as journal:
            record = Record(id=name, status="stored", file=name, bytes=3, source=source)
            journal.put(record)

    download("1abc")
    wanted = {"1abc": "2020-01-01", "2abc": "2020-01-01"}
    assert outdated(wanted, mirror) == {"1abc", "2abc"}, "downloaded before the revision was known"
    download("1abc")
    download("2abc", source="")
    assert outdated(wanted, mirror) == {"2abc"}, (
        "a file that was there before has no known revision"
    )
    assert outdated(wanted | {"1abc": "2021-01-01"}, mirror) == {"1abc", "2abc"}
    download("1abc")
    (mirror / "1abc").write_bytes(b"12")
    assert "1abc" in outdated(wanted | {"1abc": "2021-01-01"}, mirror), "it has another size"
