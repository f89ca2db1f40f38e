"""What is read off product pages, as shops write them: three ways of saying it, and what goes wrong in each."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.products.structured import NoProductError, Product, amount, availability, read_product

JSON = '<script type="application/ld+json">{}</script>'
OFFER = '{"@type": "Offer", "price": "1299.00", "priceCurrency": "EUR", "availability": "https://schema.org/InStock"}'
PAGES: dict[str, tuple[str, tuple[str, str, str | None, str | None]]] = {
    "one product": (
        JSON.format(
            '{"@context": "https://schema.org", "@type": "Product", "name": "Blue  Vase", "offers": '
            + OFFER
            + "}"
        ),
        ("Blue Vase", "1299", "EUR", "in_stock"),
    ),
    "inside a graph, with a list of types and of offers, and numbers": (
        JSON.format(
            '{"@graph": [{"@type": "BreadcrumbList"}, {"@type": ["Product", "Thing"], "name": "Lamp", "offers": '
            '[{"price": 19.9, "priceCurrency": "usd", "availability": "OutOfStock"}]}]}'
        ),
        ("Lamp", "19.9", "USD", "out_of_stock"),
    ),
    "a range of prices": (
        JSON.format(
            '{"@type": "http://schema.org/Product", "name": "Shirt", "offers": {"@type": "AggregateOffer", '
            '"lowPrice": "15", "highPrice": "20", "priceCurrency": "GBP"}}'
        ),
        ("Shirt", "15", "GBP", None),
    ),
    "a price inside its specification": (
        JSON.format(
            '{"@type": "Product", "name": "Oil", "offers": {"priceSpecification": [{"price": "7.25", '
            '"priceCurrency": "SAR"}]}}'
        ),
        ("Oil", "7.25", "SAR", None),
    ),
    "a broken block before the good one, and line breaks in texts": (
        JSON.format("{broken")
        + JSON.format('<!-- {"@type": "Product", "name": "Two\nlines", "offers": ' + OFFER + "} -->"),
        ("Two lines", "1299", "EUR", "in_stock"),
    ),
    "microdata, with the brand's name inside": (
        """<div itemscope itemtype="https://schema.org/Product">
             <div itemprop="brand" itemscope itemtype="https://schema.org/Brand"><span itemprop="name">Acme</span></div>
             <h1 itemprop="name">Anvil</h1>
             <div itemprop="offers" itemscope itemtype="https://schema.org/Offer">
               <span itemprop="price" content="49.5">49,50 €</span><meta itemprop="priceCurrency" content="EUR">
               <link itemprop="availability" href="http://schema.org/PreOrder"></div></div>""",
        ("Anvil", "49.5", "EUR", "preorder"),
    ),
    "OpenGraph alone": (
        """<meta property="og:title" content="Teapot"><meta property="product:price:amount" content="1.299,00">
           <meta property="product:price:currency" content="EUR"><meta property="product:availability" content="in stock">""",
        ("Teapot", "1299", "EUR", "in_stock"),
    ),
    "a name in JSON-LD and the price in OpenGraph": (
        JSON.format('{"@type": "Product", "name": "Cup"}') + '<meta property="og:price:amount" content="4">',
        ("Cup", "4", None, None),
    ),
    "another product's price is not taken": (
        JSON.format('{"@type": "Product", "name": "Cup", "offers": {"price": "4"}}')
        + JSON.format(
            '{"@type": "Product", "name": "Plate", "offers": {"price": "9", "priceCurrency": "EUR"}}'
        ),
        ("Cup", "4", None, None),
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_product_is_read(page: str) -> None:
    html, (name, price, currency, stock) = PAGES[page]

    found = read_product(f"<html><body>{html}</body></html>".encode(), "https://shop.example/p")

    assert found == Product(name=name, price=Decimal(price), currency=currency, availability=stock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<h1>Nothing to sell</h1>",
        JSON.format('{"@type": "Product", "name": "Without a price"}'),
        JSON.format('{"@type": "Product", "offers": {"price": "4"}}'),
        JSON.format('{"@type": "Product", "name": "Free?", "offers": {"price": "ask us"}}'),
        JSON.format('{"@type": "Product", "name": ["a"], "offers": {"price": {"x": 1}}}'),
        JSON.format("[" * 2000),
        '<meta property="og:title" content="An article">',
    ],
)
def test_a_page_without_a_product_and_its_price_is_told(html: str) -> None:
    with pytest.raises(NoProductError, match=r"https://shop\.example/p tells of no product"):
        read_product(html.encode(), "https://shop.example/p")


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("1,299.00", "1299"),
        ("1.299,00 €", "1299"),
        ("1 299,5", "1299.5"),
        ("12,5", "12.5"),
        ("1,299", "1299"),
        ("1.299", "1.299"),
        ("1.299.000", "1299000"),
        ("SAR 45", "45"),
        ("$ 0.99", "0.99"),
        ("", None),
        ("call", None),
        ("-5", None),
        ("9" * 40, None),
    ],
)
def test_prices_are_read_as_they_are_written(text: str, price: str | None) -> None:
    assert amount(text) == (Decimal(price) if price is not None else None)


@given(st.text(max_size=40))
def test_whatever_stands_there_is_a_price_or_none(text: str) -> None:
    found = amount(text)
    assert found is None or (found >= 0 and found == found.quantize(Decimal("0.0001")))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("https://schema.org/InStock", "in_stock"),
        ("out of stock", "out_of_stock"),
        ("SoldOut/", "out_of_stock"),
        ("maybe", None),
    ],
)
def test_availability_is_one_of_our_words(text: str, word: str | None) -> None:
    assert availability(text) == word
