"""The contract for services that publish: what may be said, as JSON Schemas, as AsyncAPI, as a package of models, as a page."""
