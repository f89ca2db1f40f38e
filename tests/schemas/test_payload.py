"""Strict JSON: what is refused before any model looks at it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import InvalidPayload, parse

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(value=JSON)
def test_good_json_is_read_as_python_reads_it(value: object) -> None:
    data = json.dumps({"value": value}).encode()

    assert parse(data) == json.loads(data)


@pytest.mark.parametrize(
    ("data", "field", "rule"),
    [
        (b'{"a":1,"a":2}', "a", "twice"),
        (b'{"x":{"b":1,"b":1}}', "b", "twice"),
        (b'{"a":NaN}', "a", "finite"),
        (b'{"a":[1,Infinity]}', "a.1", "finite"),
        (b'{"a":1e400}', "a", "finite"),
        (b'{"a":"\\u0000"}', "a", "NUL"),
        (b'{"\\u0000":1}', "\\x00", "NUL"),
        (b'{"a":{"b":["\\udc00x"]}}', "a.b.0", "surrogate"),
        (b'{"a":9223372036854775808}', "a", "64 bits"),
        (b'{"a":' + b"9" * 5000 + b"}", "data", "64 bits"),
        (b'{"a":"\xc3\x28"}', "data", "UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "data", "JSON"),
        (b'{"a":"\0"}', "data", "JSON"),
        (b'{"a":1} x', "data", "JSON"),
        (b"[1]", "data", "object"),
        (b"null", "data", "object"),
        (b"", "data", "JSON"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "a", "deeper"),
        (b'{"a":' * 100_000, "data", "deeper"),
    ],
)
def test_bad_json_is_refused_with_its_place(data: bytes, field: str, rule: str) -> None:
    with pytest.raises(InvalidPayload, match=rule) as caught:
        parse(data)

    assert caught.value.fields[0].split(".")[: len(field.split("."))] == field.split(".")


def test_many_brackets_are_not_depth() -> None:
    assert len(parse(b'{"a":[' + b",".join([b"{}"] * 500) + b"]}")) == 1


def test_63_levels_inside_the_object_are_accepted() -> None:
    assert parse(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}")


@pytest.mark.parametrize("text", ["\\\\u0000", "\\u00e9", "\\ud83c\\udfad", "NaN", "12345678901234567890"])
def test_texts_that_only_look_dangerous_are_accepted(text: str) -> None:
    data = f'{{"a":"{text}"}}'.encode()

    assert parse(data) == json.loads(data)
