"""AsyncAPI: the official parser finds nothing wrong, and its schemas take what the models take."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops.boot import App
from ops.cli.contract import _kinds
from ops.contract.asyncapi import asyncapi
from ops.contract.draft7 import converted
from tests.ops.conftest import Cli, cli

__all__ = ["cli"]

PARSER = "@asyncapi/parser@3.4.0"
SCRIPT = """
const { Parser } = require('@asyncapi/parser');
const text = require('fs').readFileSync(0, 'utf8');
new Parser().parse(text).then(({ document, diagnostics }) => {
  const faults = diagnostics.filter(each => each.severity === 0).map(each => `${each.path.join('.')}: ${each.message}`);
  const channels = document ? document.channels().all().length : 0;
  console.log(JSON.stringify({ parsed: document !== undefined, faults, channels }));
});
"""


@pytest.fixture
def document(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    monkeypatch.delenv("CALLBOARD_APPS")
    found: dict[str, Any] = json.loads(cli("contract", "asyncapi").stdout)
    return found


def test_channels_operations_and_headers_are_those_of_the_house(document: dict[str, Any]) -> None:
    channel = document["channels"]["page.scan.requested"]
    assert channel["bindings"]["amqp"]["exchange"]["name"] == "callboard.events"
    assert channel["address"] == "page.scan.requested"
    assert document["operations"]["receive.page.scan.requested"]["action"] == "receive"
    assert "pages.scan" in document["operations"]["send.page.analyze.requested"]["summary"]
    headers = document["components"]["messageTraits"]["cloudEvent"]["headers"]
    assert {"cloudEvents_id", "cloudEvents_type"} <= set(headers["required"])


def test_each_schema_is_sound_draft_7_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(document)
    assert "$defs" not in text and "prefixItems" not in text
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in schemas


def test_tuples_become_what_draft_7_knows() -> None:
    pair = {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"$ref": "#/$defs/X"}],
        "items": False,
        "$defs": {"X": {}},
    }
    made, definitions = converted(pair, "a.v1")
    assert made == {
        "type": "array",
        "items": [{"type": "integer"}, {"$ref": "#/components/schemas/a.v1.X"}],
        "additionalItems": False,
    }
    assert definitions == {"a.v1.X": {}}


def test_an_empty_house_has_an_empty_contract() -> None:
    assert asyncapi([], [])["channels"] == {}
    assert all(kind.__module__.startswith("schemas") for kind in _kinds(App()))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
def test_the_official_parser_takes_it(document: dict[str, Any], tmp_path: Path) -> None:
    got = subprocess.run(
        ["npm", "install", "--no-save", "--no-audit", "--no-fund", PARSER],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    if got.returncode:
        pytest.skip(f"the parser cannot be installed here: {got.stderr[-200:]}")
    done = subprocess.run(
        ["node", "-e", SCRIPT],
        input=json.dumps(document),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout)
    assert told["faults"] == [] and told["parsed"]
    assert told["channels"] == len(document["channels"])
