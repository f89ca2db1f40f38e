"""The digest: one for every spelling of the same data."""

import pytest

from broker.digest import digest
from broker.errors import UndecodableError


@pytest.mark.parametrize(
    "other",
    [b'{"b":[1,{"d":null,"c":"\xc3\xa9"}],"a":1}', b' { "a" : 1.0 , "b":[1e0,{"c":"\\u00e9","d":null}]}\n'],
)
def test_another_spelling_of_the_same_data_has_the_same_digest(other: bytes) -> None:
    assert digest(other) == digest(b'{"a":1,"b":[1,{"c":"\xc3\xa9","d":null}]}')


@pytest.mark.parametrize(
    "other", [b'{"a":2}', b'{"a":"1"}', b'{"a":1.5}', b'{"a":[1]}', b'{"a":1,"b":null}', b"{}"]
)
def test_other_data_has_another_digest(other: bytes) -> None:
    assert digest(other) != digest(b'{"a":1}')
    assert len(digest(other)) == 16


@pytest.mark.parametrize(
    "bad", [b'{"a":1,"a":1}', b'{"a":NaN}', b'{"a":"\\u0000"}', b'{"a":' * 999, b"[]", b"\xff"]
)
def test_data_that_cannot_be_kept_has_no_digest(bad: bytes) -> None:
    with pytest.raises(UndecodableError):
        digest(bad)
