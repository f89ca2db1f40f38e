"""Who makes and keeps songs follows from the settings."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from actors.orders import providers
from actors.orders.music_api import MusicApi
from actors.orders.s3_storage import S3Storage
from actors.orders.settings import OrdersSettings
from actors.orders.storage import FileStorage
from actors.orders.synthesiser import Synthesiser


def test_without_settings_songs_are_synthesised_and_kept_below_the_data_folder(songs: Path) -> None:
    assert providers.music_maker() == Synthesiser()
    assert providers.storage() == FileStorage(songs, "/songs")
    assert providers.storage() is providers.storage()


def test_a_music_api_and_a_bucket_are_used_where_they_are_named(
    songs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_ORDERS_MUSIC_URL", "https://music.example/v1")
    monkeypatch.setenv("CALLBOARD_ORDERS_S3_ENDPOINT", "https://s3.example")
    monkeypatch.setenv("CALLBOARD_ORDERS_S3_BUCKET", "songs")

    maker, storage = providers.music_maker(), providers.storage()

    assert isinstance(maker, MusicApi)
    assert maker.base_url == "https://music.example/v1"
    assert isinstance(storage, S3Storage)
    assert (storage.endpoint, storage.bucket) == ("https://s3.example", "songs")


def test_an_endpoint_without_a_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ORDERS_S3_ENDPOINT", "https://s3.example")

    with pytest.raises(ValidationError, match="S3_BUCKET"):
        OrdersSettings()
