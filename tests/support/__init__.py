"""What tests need and the product does not have: servers, waiting, proxies."""
