"""From what a shop tells by webhook to the price on the product's page."""

from actors.products.scrape import scrape
from actors.webhooks.dispatch import dispatch
from broker import Pipeline

shop_products = Pipeline("shop-products", dispatch | scrape)
