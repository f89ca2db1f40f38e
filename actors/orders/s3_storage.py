"""Songs in a bucket of Amazon S3, or of any store that speaks its protocol (MinIO, R2, Ceph)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx

from actors.orders.aws_signature import Credentials, sign
from actors.orders.errors import StorageUnavailableError
from actors.orders.storage import check_key


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class S3Storage:
    """Keeps each song as one object; addresses the bucket in the path, which every such store understands."""

    endpoint: str
    """Such as https://s3.eu-central-1.amazonaws.com."""
    bucket: str
    credentials: Credentials = field(repr=False)
    public_url: str | None = None
    """Where buyers reach the bucket, such as a CDN; None for the endpoint itself."""
    timeout: timedelta = timedelta(seconds=60)
    clock: Callable[[], datetime] = field(default=_now, repr=False)

    def put(self, key: str, data: bytes, content_type: str) -> str:
        response = self._send("PUT", key, data, {"content-type": content_type})
        if response.status_code != 200:
            raise StorageUnavailableError(f"{key} was not kept: the bucket answered {response.status_code}")
        return f"{self.public_url.rstrip('/')}/{quote(key)}" if self.public_url else self._url(key)

    def exists(self, key: str) -> bool:
        response = self._send("HEAD", key, b"", {})
        if response.status_code not in (200, 404):
            raise StorageUnavailableError(
                f"{key} was not found out: the bucket answered {response.status_code}"
            )
        return response.status_code == 200

    def delete(self, key: str) -> None:
        response = self._send("DELETE", key, b"", {})
        if response.status_code not in (200, 204, 404):
            raise StorageUnavailableError(
                f"{key} was not deleted: the bucket answered {response.status_code}"
            )

    def _send(self, method: str, key: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
        check_key(key)
        url = self._url(key)
        signed = sign(self.credentials, method, url, headers, data, self.clock())
        try:
            with httpx.Client(timeout=self.timeout.total_seconds(), trust_env=False) as client:
                return client.request(method, url, content=data, headers=signed)
        except httpx.HTTPError as error:
            raise StorageUnavailableError(f"the bucket {self.bucket} gave no answer: {error}") from error

    def _url(self, key: str) -> str:
        return f"{self.endpoint.rstrip('/')}/{quote(self.bucket)}/{quote(key)}"
