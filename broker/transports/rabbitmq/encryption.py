"""Encrypted links: what stands behind an `amqps://` address, and what its refusals mean. No check can be switched off."""

import ssl
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from broker.errors import ConfigurationError

FILES = ("cacertfile", "certfile", "keyfile")
"""Parameters of the address, as RabbitMQ's own clients name them."""
OFF = ("ssl_options", "verify")
"""Parameters that would switch a check off."""

_ADVICE = (
    ("Hostname mismatch", "connect by a name that the certificate holds"),
    ("IP address mismatch", "connect by a name that the certificate holds"),
    ("certificate has expired", "give the server a new certificate"),
    ("certificate verify failed", "name the authority that has signed it with cacertfile="),
    ("CERTIFICATE_REQUIRED", "it asks for a certificate of ours: name it with certfile= and keyfile="),
    ("HANDSHAKE_FAILURE", "it may ask for a certificate of ours: name it with certfile= and keyfile="),
    (
        "UNKNOWN_CA",
        "it does not know who has signed our certificate: certfile= must be by an authority of the server's",
    ),
    ("WRONG_VERSION_NUMBER", "nothing encrypted is spoken at this port: RabbitMQ's own for amqps:// is 5671"),
)


def encryption(url: str) -> ssl.SSLContext | None:
    """How the server of an `amqps://` (or `https://`) address is spoken to; None for a plain one.

    Its certificate must be good for its host, by the system's authorities or by `?cacertfile=`; `certfile=` and `keyfile=` are
    our own. Raises ConfigurationError for a file that cannot be used, for a parameter that would switch a check off, and for a
    plain address with any of these: it would be taken for an encrypted one.
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    if parts.scheme not in ("amqps", "https"):
        if ours := next((name for name in (*FILES, *OFF) if name in given), None):
            raise ConfigurationError(
                f"{ours}= is for an encrypted link, and {parts.scheme}:// is none: write {parts.scheme}s://"
            )
        return None
    if refused := next((name for name in OFF if name in given), None):
        raise ConfigurationError(
            f"{parts.scheme}: {refused} is not taken: certificates are always verified; name your authority with cacertfile="
        )
    authority, ours, key = (given.get(name) for name in FILES)
    if key and not ours:
        raise ConfigurationError(
            f"{parts.scheme}: keyfile= is the key of a certificate: name that with certfile="
        )
    try:
        context = ssl.create_default_context(cafile=authority)
        if ours:
            context.load_cert_chain(ours, key, password=_no_password)
    except (OSError, ValueError) as error:
        names = ", ".join(file for file in (authority, ours, key) if file)
        raise ConfigurationError(
            f"{parts.scheme}: {names} cannot be used ({type(error).__name__}): give readable PEM files, a key without a password"
        ) from None
    return context


def without_files(url: str) -> str:
    """pika refuses parameters that it does not know."""
    parts = urlsplit(url)
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] not in FILES])
    return urlunsplit(parts._replace(query=query))


def explained(error: str) -> str:
    """An error with what to do about it, where it is OpenSSL's."""
    advice = next((told for words, told in _ADVICE if words in error), None) if "SSL" in error else None
    return f"{error}: {advice}" if advice else error


def _no_password() -> str:
    """OpenSSL would ask at the terminal, and a worker would wait for ever."""
    raise ValueError("the key is locked with a password")
