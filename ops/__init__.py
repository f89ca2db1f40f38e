"""How it is run: everything that starts, serves or installs."""
