"""A package of the models alone, with a publisher, under a name of its own: for Python services that have none of this code.

The modules are those of `schemas/`, whose imports are relative; nothing is generated, so the models cannot differ.
"""

import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from importlib.metadata import requires
from pathlib import Path

import schemas
from ops.contract import publisher

PACKAGE = "callboard_events"
_EPOCH = (2020, 1, 1, 0, 0, 0)
"""Of every file: the same models are the same bytes."""

_METADATA = """\
Metadata-Version: 2.4
Name: callboard-events
Version: {version}
Summary: Event models of this Callboard, and a publisher for them
Requires-Python: >=3.11
Requires-Dist: {pydantic}
Provides-Extra: amqp
Requires-Dist: pika>=1.3; extra == "amqp"
"""
_WHEEL = "Wheel-Version: 1.0\nGenerator: callboard\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build(folder: Path) -> Path:
    """The wheel's path. Its version is derived from its contents, and building it again changes nothing."""
    files = _modules()
    version = f"1.0+{sha256(b''.join(files[name] for name in sorted(files))).hexdigest()[:12]}"
    info = f"{PACKAGE}-{version}.dist-info"
    files[f"{info}/METADATA"] = _METADATA.format(version=version, pydantic=_pydantic()).encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{PACKAGE}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return path


def _modules() -> dict[str, bytes]:
    room = Path(next(iter(schemas.__path__)))
    found = {f"{PACKAGE}/{path.name}": path.read_bytes() for path in sorted(room.glob("*.py"))}
    source = Path(publisher.__file__).read_text().replace("from schemas import", "from . import")
    return {**found, f"{PACKAGE}/publisher.py": source.encode(), f"{PACKAGE}/py.typed": b""}


def _pydantic() -> str:
    """As we need it ourselves."""
    found = next(
        (each for each in requires("callboard") or () if each.startswith("pydantic>")), "pydantic>=2"
    )
    return found.partition(";")[0].strip()


def _record(files: dict[str, bytes], own: str) -> bytes:
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    return ("\n".join([*lines, f"{own},,"]) + "\n").encode()


def _digest(content: bytes) -> str:
    return urlsafe_b64encode(sha256(content).digest()).decode().rstrip("=")
