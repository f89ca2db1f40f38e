"""The product that a page says it sells: schema.org in JSON-LD, then microdata, then OpenGraph; what one lacks the next may have.

Written here because a library for all three brings an RDF stack with it; what is read is a dozen properties.
"""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel
from selectolax.lexbor import LexborHTMLParser, LexborNode

from broker import ProviderError
from broker.fetching.charset import decode
from broker.fetching.nesting import check_nesting
from schemas.products import Availability

MAX_NAME = 500
MAX_DEPTH = 12
LARGEST = Decimal(10) ** 14

_KNOWN: Mapping[str, Availability] = {
    "instock": "in_stock",
    "onlineonly": "in_stock",
    "instoreonly": "in_stock",
    "available": "in_stock",
    "outofstock": "out_of_stock",
    "oos": "out_of_stock",
    "soldout": "out_of_stock",
    "preorder": "preorder",
    "presale": "preorder",
    "pending": "preorder",
    "backorder": "backorder",
    "limitedavailability": "limited",
    "discontinued": "discontinued",
}
_NOISE = re.compile(r"^\s*(?:<!--|<!\[CDATA\[|//\s*<!\[CDATA\[)|(?:-->|(?://\s*)?\]\]>)\s*$")
_CONTROL = re.compile(r"[\x00-\x1f]")


class NoProductError(ProviderError):
    """The page names no product, or no price of it: another look at the same page finds none either."""

    final = True


class Product(BaseModel):
    """As the page tells it. `price` has at most four decimal places."""

    name: str
    price: Decimal
    currency: str | None = None
    availability: Availability | None = None


def read_product(body: bytes, url: str, content_type: str = "") -> Product:
    """Raises NoProductError, and PageTooDeepError for markup that the parser would take minutes for."""
    text = decode(body, content_type)
    check_nesting(text)
    tree = LexborHTMLParser(text)
    found: dict[str, str] = {}
    for facts in (*_in_json(tree), *_in_microdata(tree), _in_open_graph(tree)):
        # A product's name and another one's price would be worse than nothing.
        if "price" in found and "price" in facts and found.get("name") != facts.get("name"):
            continue
        found = {**facts, **found}
    price = amount(found.get("price", ""))
    if not found.get("name") or price is None:
        raise NoProductError(f"{url} tells of no product with a name and a price")
    currency = found.get("currency", "").strip().upper()
    return Product(
        name=_plain(found["name"])[:MAX_NAME],
        price=price,
        currency=currency if re.fullmatch(r"[A-Z]{3}", currency) else None,
        availability=availability(found.get("availability", "")),
    )


def amount(text: str) -> Decimal | None:
    """`1,299.00`, `1.299,00 €`, `1 299`, `12,5`: the last separator is the decimal one, unless three digits follow it and it is a
    comma or comes more than once. None for what is no price."""
    digits = re.sub(r"[^\d.,]", "", text).strip(".,")
    marks = [mark for mark in digits if mark in ".,"]
    if marks:
        last = marks[-1]
        whole, _, rest = digits.rpartition(last)
        groups = len(rest) == 3 and (last == "," or marks.count(last) > 1) and len(set(marks)) == 1
        digits = re.sub(r"[.,]", "", digits) if groups else f"{re.sub(r'[.,]', '', whole)}.{rest}"
    try:
        found = Decimal(digits).quantize(Decimal("0.0001")).normalize()
    except InvalidOperation:
        return None
    return found + 0 if 0 <= found < LARGEST and "-" not in text.split(digits[:1], 1)[0] else None


def availability(text: str) -> Availability | None:
    """`https://schema.org/InStock`, `in stock`, `instock`. None for a word that we do not know."""
    return _KNOWN.get(re.sub(r"[^a-z]", "", text.strip().rstrip("/").rpartition("/")[2].lower()))


def _in_json(tree: LexborHTMLParser) -> Iterator[dict[str, str]]:
    for script in tree.css('script[type="application/ld+json"]'):
        raw = _CONTROL.sub(" ", _NOISE.sub("", script.text(deep=True)))
        try:
            data = json.loads(raw, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            continue  # one broken block must not hide the others
        for thing in _products(data, 0):
            yield _of_thing(thing)


def _products(data: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(data, list):
        for item in data:
            yield from _products(item, depth + 1)
    elif isinstance(data, Mapping):
        kinds = data.get("@type") or ""
        kinds = kinds if isinstance(kinds, list) else [kinds]
        names = {str(kind).rpartition("/")[2] for kind in kinds}
        if "Product" in names or ("ProductGroup" in names and "offers" in data):
            yield data
            return
        for value in data.values():
            if isinstance(value, list | Mapping):
                yield from _products(value, depth + 1)


def _of_thing(thing: Mapping[str, Any]) -> dict[str, str]:
    offer = _first(thing.get("offers"))
    inner = _first(offer.get("priceSpecification"))
    if not any(key in offer for key in ("price", "lowPrice")) and "offers" in offer:
        offer = {**offer, **_first(offer.get("offers"))}
    facts = {
        "name": thing.get("name"),
        "price": _either(offer.get("price"), offer.get("lowPrice"), inner.get("price")),
        "currency": _either(offer.get("priceCurrency"), inner.get("priceCurrency")),
        "availability": offer.get("availability"),
    }
    return {key: value for key, value in facts.items() if isinstance(value, str) and value.strip()}


def _first(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, Mapping)), {})
    return value if isinstance(value, Mapping) else {}


def _either(*values: Any) -> Any:
    return next((value for value in values if isinstance(value, str) and value.strip()), None)


def _in_microdata(tree: LexborHTMLParser) -> Iterator[dict[str, str]]:
    for item in tree.css("[itemtype]"):
        if not re.search(r"schema\.org/Product\b", item.attributes.get("itemtype") or ""):
            continue
        facts: dict[str, str] = {}
        for key, names in (
            ("name", ("name",)),
            ("price", ("price", "lowPrice")),
            ("currency", ("priceCurrency",)),
            ("availability", ("availability",)),
        ):
            value = next((told for name in names for told in _told(item, name)), None)
            if value is not None:
                facts[key] = value
        yield facts


def _told(item: LexborNode, name: str) -> Iterator[str]:
    for node in item.css(f'[itemprop~="{name}"]'):
        if name == "name" and not _is_own(node, item):
            continue  # a brand's or a reviewer's
        value = node.attributes.get("content") or node.attributes.get("href") or node.text(deep=True)
        if value and value.strip():
            yield value.strip()


def _is_own(node: LexborNode, item: LexborNode) -> bool:
    parent = node.parent
    while parent is not None and parent.mem_id != item.mem_id:
        if "itemscope" in parent.attributes:
            return False
        parent = parent.parent
    return True


def _in_open_graph(tree: LexborHTMLParser) -> dict[str, str]:
    facts: dict[str, str] = {}
    names = {
        "og:title": "name",
        "product:price:amount": "price",
        "og:price:amount": "price",
        "product:price:currency": "currency",
        "og:price:currency": "currency",
        "product:availability": "availability",
        "og:availability": "availability",
    }
    for node in tree.css("meta"):
        key = names.get(
            (node.attributes.get("property") or node.attributes.get("name") or "").strip().lower()
        )
        value = (node.attributes.get("content") or "").strip()
        if key is not None and value:
            facts.setdefault(key, value)
    return facts


def _plain(text: str) -> str:
    return " ".join(text.replace("\0", "").encode("utf-8", "replace").decode("utf-8").split())
