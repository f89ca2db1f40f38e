"""Pages that others have written, fetched when a test wants them and kept in `.cache`, not in the repository."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ops.embedded.rabbitmq_install import apt_options, run
from tests.support.tool import HOUSE, installed


def debian_pages(*packages: str) -> Path:
    """`/usr/share/doc` with what these packages have in it. Skips the test where there is no apt."""
    target = HOUSE / ".cache" / "debian-pages"
    if not target.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            pytest.skip("no apt here: these pages come from Debian's packages")
        work = target.with_name("debian-pages.new")
        shutil.rmtree(work, ignore_errors=True)
        for name in ("lists/partial", "archives/partial", "tree"):
            (work / name).mkdir(parents=True)
        apt = ["apt-get", "-qq", *apt_options(work)]
        run([*apt, "update"])
        subprocess.run([*apt, "download", *packages], cwd=work, check=True, capture_output=True)
        for package in work.glob("*.deb"):
            run(["dpkg", "-x", str(package), str(work / "tree")])
        (work / "tree").rename(target)
        shutil.rmtree(work)
    return target / "usr/share/doc"


def source_of(name: str, version: str) -> Path:
    """The unpacked source distribution of a package, without building it."""
    target = HOUSE / ".cache" / f"{name}-{version}"
    if not target.exists():
        work = target.with_name(f"{target.name}.new")
        shutil.rmtree(work, ignore_errors=True)
        wanted = ["--no-deps", "--no-binary", ":all:", "--dest", str(work), f"{name}=={version}"]
        subprocess.run(
            [str(installed("pip==25.3") / "pip"), "download", "-q", *wanted], check=True, timeout=240
        )
        [archive] = work.glob("*.tar.gz")
        with tarfile.open(archive) as found:
            found.extractall(work, filter="data")
        next(path for path in work.iterdir() if path.is_dir()).rename(target)
        shutil.rmtree(work)
    return target
