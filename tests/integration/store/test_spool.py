"""Bodies in GridFS: whole, bounded, readable by others, and gone when aborted."""

import itertools
from datetime import UTC, datetime, timedelta

import gridfs
import pytest

from mta.errors import ContentMissing
from mta.store.mongo import SPOOL_BUCKET
from mta.store.spool import CHUNK_BYTES, Spool

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


@pytest.fixture
def spool(db):
    return Spool(db, SPOOL_BUCKET)


def store(spool, *pieces):
    writer = spool.open(expires_at=LATER)
    for piece in pieces:
        writer.write(piece)
    writer.close(uploaded_at=NOW, filename="m")
    return writer.file_id


@pytest.mark.parametrize(
    "size",
    [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7],
)
def test_a_body_is_read_as_it_was_written(spool, size):
    """At every size round the borders of chunks, fed in odd pieces."""
    body = bytes(itertools.islice(itertools.cycle(range(251)), size))
    pieces = [body[start : start + 99_991] for start in range(0, size, 99_991)]

    file_id = store(spool, *pieces)

    assert b"".join(spool.read(file_id, size)) == body


def test_a_large_piece_is_cut_into_chunks(db, spool):
    """No document comes near MongoDB's limit."""
    file_id = store(spool, b"x" * (4 * CHUNK_BYTES + 5))

    lengths = [len(c["data"]) for c in db.mail.chunks.find({"files_id": file_id})]
    assert lengths == [CHUNK_BYTES] * 4 + [5]


def test_any_gridfs_reader_can_read_it(db, spool):
    """The documents are those of the specification."""
    body = b"y" * (CHUNK_BYTES + 100)

    file_id = store(spool, body)

    bucket = gridfs.GridFSBucket(db, bucket_name=SPOOL_BUCKET)
    with bucket.open_download_stream(file_id) as stream:
        assert stream.read() == body


def test_an_aborted_body_leaves_nothing(db, spool):
    """Also of the chunks that were stored already."""
    writer = spool.open(expires_at=LATER)
    writer.write(b"z" * (2 * CHUNK_BYTES))

    writer.abort()

    assert db.mail.chunks.count_documents({}) == 0


def test_a_body_with_a_hole_is_never_read_as_whole(db, spool):
    """Half a message must not be sent as if it were one."""
    size = 3 * CHUNK_BYTES
    file_id = store(spool, b"x" * size)
    db.mail.chunks.delete_one({"files_id": file_id, "n": 1})

    with pytest.raises(ContentMissing):
        list(spool.read(file_id, size))


def test_a_deleted_body_leaves_nothing(db, spool):
    """Files document and chunks go."""
    file_id = store(spool, b"x" * 10)

    spool.delete([file_id])

    assert db.mail.files.count_documents({}) == 0
    assert db.mail.chunks.count_documents({}) == 0
