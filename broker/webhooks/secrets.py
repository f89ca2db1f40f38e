"""Where a webhook's secrets stand: a field of a domain's settings, read when a delivery comes and never before."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr

from broker.environment import EnvironmentSettings, variable
from broker.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Secrets:
    """`Secrets(ShopSettings, "stripe_secrets")`: a `SecretStr` with one or several separated by commas, or a tuple of them.

    All are taken: that is how one is exchanged for another. Raises ConfigurationError for a field that is not there.
    """

    kind: type[EnvironmentSettings]
    field: str

    def __post_init__(self) -> None:
        if self.field not in self.kind.model_fields:
            raise ConfigurationError(
                f"{self.kind.__name__} has no field {self.field!r} for a webhook's secrets"
            )

    @property
    def variable(self) -> str:
        """The environment variable that holds them."""
        return variable(self.kind, self.field)

    def read(self) -> list[str]:
        """As they are set now; none where nothing is. Raises ConfigurationError for settings that cannot be read."""
        return split(getattr(self.kind.load(), self.field))


def split(value: object) -> list[str]:
    """The secrets in a setting's value."""
    if value is None:
        return []
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Iterable):
        return [secret for part in value for secret in split(part)]
    raise ConfigurationError(f"secrets are text or several texts, not {type(value).__name__}")
