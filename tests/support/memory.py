"""How much memory another process uses."""

import os
from pathlib import Path
from statistics import fmean

import pytest


def rss_bytes(pid: int) -> int:
    """Resident, of one process. Skips the test where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        if Path("/proc/self/statm").exists():
            raise
        pytest.skip("resident memory of another process is read from Linux's /proc")


def growth(samples: list[int]) -> float:
    """The mean of the last quarter as a share of the first quarter's."""
    quarter = len(samples) // 4
    return fmean(samples[-quarter:]) / fmean(samples[:quarter])
