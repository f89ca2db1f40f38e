"""The status page: runs and their chains in a browser, as they are now. Reads only, shows no payload."""
