"""The body of an answer, decompressed piece by piece and never beyond its limit.

A gzip of 10 KB can hold 10 MB, so the limit is applied while inflating: no step makes more than one piece of
output, and what is over the limit is never made at all.
"""

import zlib
from collections.abc import Iterable, Iterator

from broker.fetching.errors import BrokenAnswerError, PageTooLargeError

PIECE_BYTES = 65_536

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


def read_body(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> bytes:
    """Return the decompressed body.

    Raises PageTooLargeError when it, or what travelled, exceeds `max_bytes`; BrokenAnswerError for an
    encoding that we did not offer, and for one that does not decompress.
    """
    coding = encoding.strip().lower()
    travelled = _capped(chunks, max_bytes)
    if coding in ("", "identity"):
        return b"".join(travelled)
    if coding not in _ZLIB_WINDOWS:
        raise BrokenAnswerError("the body is encoded in a way that was not asked for")
    return b"".join(_capped(_inflate(travelled, _ZLIB_WINDOWS[coding]), max_bytes))


def _capped(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise PageTooLargeError(f"the page is larger than {max_bytes} bytes")
        yield chunk


def _inflate(chunks: Iterable[bytes], window: int) -> Iterator[bytes]:
    """Inflate; a gzip body may be several gzip members one after another."""
    inflater = zlib.decompressobj(window)
    began = False
    try:
        for chunk in chunks:
            left = chunk
            while left:
                if inflater.eof:
                    inflater = zlib.decompressobj(window)
                yield inflater.decompress(left, PIECE_BYTES)
                began = True
                left = inflater.unconsumed_tail or inflater.unused_data
            while not inflater.eof and (rest := inflater.decompress(b"", PIECE_BYTES)):
                yield rest
    except zlib.error as error:
        raise BrokenAnswerError("the body does not decompress") from error
    if began and not inflater.eof:
        raise BrokenAnswerError("the compressed body ends too early")
