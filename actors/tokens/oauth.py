"""Refreshing a token as OAuth 2 has it (RFC 6749, section 6): one POST, one answer."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from actors.tokens.errors import GrantRefusedError, ProviderBusyError, ProviderUnavailableError


class Grant(BaseModel):
    """What the provider gave. `refresh_token` is None where the old one stays good."""

    access_token: SecretStr = Field(min_length=1)
    refresh_token: SecretStr | None = Field(default=None, min_length=1)
    expires_in: int = Field(default=3600, gt=0, le=315_360_000)
    """In seconds, at most ten years. RFC 6749 only recommends it; an hour is the value of its examples."""


class TokenProvider(Protocol):
    """Anything that trades a refresh token for a new token."""

    def refresh(self, refresh_token: SecretStr) -> Grant:
        """May be called once a refresh token: a second call may find it void. Raises TokenError."""
        ...


@dataclass(frozen=True)
class OAuth:
    """A token endpoint over HTTP."""

    url: str
    client_id: str
    client_secret: SecretStr
    timeout: timedelta

    def refresh(self, refresh_token: SecretStr) -> Grant:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token.get_secret_value(),
            "client_id": self.client_id,
            "client_secret": self.client_secret.get_secret_value(),
        }
        try:
            response = httpx.post(self.url, data=form, timeout=self.timeout.total_seconds(), trust_env=False)
        except httpx.HTTPError as error:
            raise ProviderUnavailableError(f"the token endpoint gave no answer: {error}") from error
        _check_status(response)
        try:
            return Grant.model_validate_json(response.content)
        except ValidationError:
            # Not chained: pydantic's text quotes the answer, and the answer holds tokens.
            raise ProviderUnavailableError(
                "the token endpoint answered something other than a token"
            ) from None


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == 429:
        raise ProviderBusyError(
            "the token endpoint asks for fewer requests", response.headers.get("retry-after")
        )
    if status == 408 or status >= 500:
        raise ProviderUnavailableError(f"the token endpoint answered {status}")
    if status >= 300:
        raise GrantRefusedError(
            f"the token endpoint refused the refresh with {status}: check the app's credentials, "
            "or have the shop install the app again, then replay this event"
        )
