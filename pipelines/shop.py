"""From what a shop tells by webhook to the price on the product's page."""

from actors.products.scrape import scrape
from actors.webhooks.dispatch import dispatch
from actors.webhooks.settings import WebhooksSettings
from broker import Pipeline, Salla, Secrets, StandardWebhooks, Webhook

shop_products = Pipeline("shop-products", dispatch | scrape)
salla = Webhook("salla", Salla(Secrets(WebhooksSettings, "salla_secrets")))
standard = Webhook("standard", StandardWebhooks(Secrets(WebhooksSettings, "standard_secrets")))
