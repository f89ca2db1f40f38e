"""Who makes songs and who keeps them, chosen by the settings when first needed. Importing this builds nothing."""

from functools import cache

from actors.orders.aws_signature import Credentials
from actors.orders.music_api import MusicApi
from actors.orders.s3_storage import S3Storage
from actors.orders.settings import OrdersSettings
from actors.orders.song import MusicMaker
from actors.orders.storage import FileStorage, SongStorage
from actors.orders.synthesiser import Synthesiser
from broker import load_settings


@cache
def settings() -> OrdersSettings:
    """Read once a process; raises ConfigurationError for a setting that makes no sense."""
    return OrdersSettings.load()


@cache
def music_maker() -> MusicMaker:
    """The music API where one is configured, else the synthesiser."""
    wanted = settings()
    if not wanted.music_url:
        return Synthesiser()
    return MusicApi(wanted.music_url, wanted.music_key, wanted.music_model, patience=wanted.music_patience)


@cache
def storage() -> SongStorage:
    """A bucket where one is configured, else a folder."""
    wanted = settings()
    if not wanted.s3_endpoint:
        return FileStorage(wanted.storage or load_settings().data / "songs", wanted.storage_url)
    credentials = Credentials(wanted.s3_access_key, wanted.s3_secret_key, wanted.s3_region)
    return S3Storage(wanted.s3_endpoint, wanted.s3_bucket, credentials, wanted.s3_public_url)


def forget() -> None:
    """Choose again at the next use: for tests that change the settings."""
    for choice in (settings, music_maker, storage):
        choice.cache_clear()
