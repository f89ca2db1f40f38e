"""Keeping songs: in a folder, and in a bucket behind a real server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest
from pydantic import SecretStr

from actors.orders.aws_signature import Credentials, sign
from actors.orders.errors import BadKeyError, StorageUnavailableError
from actors.orders.s3_storage import S3Storage
from actors.orders.storage import FileStorage, SongStorage
from ops.embedded.process import free_port
from tests.support.tool import installed, running
from tests.support.web import Call, Web, serving

KEY = "orders/17/1.wav"
BAD_KEYS = [
    "", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "a//b", "a/", ".hidden", "a/.b", "a\\b", "a b",
    "a\0b", "a\n", "ü", "C:x", "~root", "x" * 501,
]  # fmt: skip
# The examples of Amazon's own documentation of Signature Version 4.
DOCUMENTED = Credentials(
    "AKIAIOSFODNN7EXAMPLE", SecretStr("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "us-east-1"
)
DOCUMENTED_TIME = datetime(2013, 5, 24, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "songs", "http://localhost:8000/songs/")


def test_a_song_is_kept_and_found(folder: FileStorage) -> None:
    assert not folder.exists(KEY)

    url = folder.put(KEY, b"music", "audio/wav")

    assert url == "http://localhost:8000/songs/orders/17/1.wav"
    assert folder.exists(KEY)
    assert (folder.root / KEY).read_bytes() == b"music"


def test_keeping_again_replaces_and_leaves_nothing_else_behind(folder: FileStorage) -> None:
    folder.put(KEY, b"first", "audio/wav")
    folder.put(KEY, b"second", "audio/wav")

    assert [path.name for path in (folder.root / KEY).parent.iterdir()] == ["1.wav"]
    assert (folder.root / KEY).read_bytes() == b"second"


def test_a_write_that_fails_leaves_the_old_song_and_no_rest(
    folder: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put(KEY, b"first", "audio/wav")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("actors.orders.storage.os.fsync", fail)
    with pytest.raises(StorageUnavailableError, match="No space left"):
        folder.put(KEY, b"second", "audio/wav")

    assert [path.name for path in (folder.root / KEY).parent.iterdir()] == ["1.wav"]
    assert (folder.root / KEY).read_bytes() == b"first"


def test_a_file_in_the_place_of_a_folder_is_reported(folder: FileStorage) -> None:
    folder.put("orders", b"", "audio/wav")

    with pytest.raises(StorageUnavailableError):
        folder.put(KEY, b"music", "audio/wav")


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_is_no_plain_path_is_refused_by_both(folder: FileStorage, web: Web, key: str) -> None:
    stores: list[SongStorage] = [folder, S3Storage(web.url(""), "songs", DOCUMENTED)]
    for store in stores:
        with pytest.raises(BadKeyError) as refusal:
            store.put(key, b"x", "audio/wav")
        with pytest.raises(BadKeyError):
            store.exists(key)
        assert refusal.value.final
    assert not folder.root.exists()
    assert web.requests == []


def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder: FileStorage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.root.mkdir()
    (folder.root / "orders").symlink_to(outside)

    with pytest.raises(BadKeyError):
        folder.put("orders/1.wav", b"x", "audio/wav")

    assert list(outside.iterdir()) == []


def test_the_signature_is_that_of_amazons_documented_put() -> None:
    headers = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    url = "https://examplebucket.s3.amazonaws.com/test%24file.text"

    signed = sign(DOCUMENTED, "PUT", url, headers, b"Welcome to Amazon S3.", DOCUMENTED_TIME)

    expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert signed["authorization"].endswith(f"Signature={expected}")


def test_the_signature_is_that_of_amazons_documented_gets() -> None:
    bucket = "https://examplebucket.s3.amazonaws.com/"

    one = sign(DOCUMENTED, "GET", bucket + "test.txt", {"Range": "bytes=0-9"}, b"", DOCUMENTED_TIME)
    lifecycle = sign(DOCUMENTED, "GET", bucket + "?lifecycle", {}, b"", DOCUMENTED_TIME)
    listing = sign(DOCUMENTED, "GET", bucket + "?prefix=J&max-keys=2", {}, b"", DOCUMENTED_TIME)

    assert one["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    assert lifecycle["authorization"].endswith(
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )
    assert listing["authorization"].endswith(
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )


def test_deleting_is_for_good_and_may_be_repeated(folder: FileStorage) -> None:
    folder.put(KEY, b"music", "audio/wav")
    for _ in range(2):
        folder.delete(KEY)
        assert not folder.exists(KEY)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store by others that speaks S3 over HTTP, with the bucket `songs`; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = installed("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5") / "moto_server"
    log = tmp_path_factory.mktemp("s3") / "moto.log"
    with running(str(program), "-p", str(port), log=log, serves=lambda: urlopen(url, timeout=5)):
        assert httpx.put(f"{url}/songs").status_code == 200
        yield url


@pytest.mark.slow
def test_a_store_by_others_keeps_finds_and_forgets(s3: str) -> None:
    store = S3Storage(s3, "songs", DOCUMENTED)
    assert not store.exists(KEY)

    urls = {store.put(KEY, data, "audio/wav") for data in (b"first", b"second")}

    [url] = urls
    kept = httpx.get(url, headers=sign(DOCUMENTED, "GET", url, {}, b"", datetime.now(UTC)))
    assert (kept.content, kept.headers["content-type"]) == (b"second", "audio/wav")
    assert store.exists(KEY)
    for _ in range(2):
        store.delete(KEY)
        assert not store.exists(KEY)
    with pytest.raises(StorageUnavailableError, match="404"):
        S3Storage(s3, "no-such-bucket", DOCUMENTED).put(KEY, b"music", "audio/wav")


class Bucket:
    """A server that keeps objects, and refuses every request whose signature it cannot make itself."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.objects: dict[str, bytes] = {}
        web.routes[f"/songs/{KEY}"] = self.handle

    def handle(self, call: Call) -> None:
        request = self.web.requests[-1]
        moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        proof = request.headers["authorization"]
        names = proof.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        given = {name: request.headers[name] for name in names if name not in ("host", "x-amz-date")}
        url = self.web.url(request.path)
        if sign(DOCUMENTED, request.method, url, given, request.body, moment)["authorization"] != proof:
            call.answer(403)
        elif request.method == "PUT":
            self.objects[request.path] = request.body
            call.answer(200)
        else:
            call.answer(200 if request.path in self.objects else 404)


def test_a_song_is_kept_in_a_bucket_and_found_there(web: Web) -> None:
    bucket = Bucket(web)
    store = S3Storage(web.url(""), "songs", DOCUMENTED)

    assert not store.exists(KEY)
    url = store.put(KEY, b"music", "audio/wav")

    assert url == web.url(f"/songs/{KEY}")
    assert store.exists(KEY)
    assert bucket.objects == {f"/songs/{KEY}": b"music"}
    assert web.requests[1].headers["content-type"] == "audio/wav"


def test_a_bucket_may_have_a_public_address_of_its_own(web: Web) -> None:
    Bucket(web)

    store = S3Storage(web.url(""), "songs", DOCUMENTED, public_url="https://cdn.example/")

    assert store.put(KEY, b"music", "audio/wav") == f"https://cdn.example/{KEY}"


def test_a_wrong_secret_is_not_taken_for_a_missing_song(web: Web) -> None:
    Bucket(web)
    store = S3Storage(
        web.url(""), "songs", Credentials("AKIAIOSFODNN7EXAMPLE", SecretStr("wrong"), "us-east-1")
    )

    with pytest.raises(StorageUnavailableError, match="403"):
        store.put(KEY, b"music", "audio/wav")
    with pytest.raises(StorageUnavailableError, match="403"):
        store.exists(KEY)


def test_a_bucket_that_is_gone_is_unavailable() -> None:
    with serving() as gone:
        pass
    with pytest.raises(StorageUnavailableError):
        S3Storage(gone.url(""), "songs", DOCUMENTED).put(KEY, b"music", "audio/wav")


def test_the_secret_is_in_no_representation() -> None:
    assert "wJalr" not in repr(DOCUMENTED) + repr(S3Storage("http://x", "songs", DOCUMENTED))
