"""`python -m ops`, the same as `callboard`."""

from ops.cli import main

if __name__ == "__main__":
    main()
