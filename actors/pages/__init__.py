"""The pages domain: fetch a web page, read its facts, and say how to improve it."""
