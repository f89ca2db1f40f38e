"""Tools of others against our doors: one that tries whatever the OpenAPI allows and forbids, and a client of another engine."""

import os
import subprocess

import inngest
import pytest

from broker.event_keys import create
from broker.testing import Stage
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import ACTORS
from tests.ops.web.test_ingest import ParcelSent, kept
from tests.support.runner import HOUSE

EXAMPLES = os.environ.get("CALLBOARD_TEST_EXAMPLES", "15")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"


@pytest.mark.slow
def test_no_request_that_the_openapi_leads_to_is_an_error_of_ours(stage: Stage, serve: Serve) -> None:
    address = serve(stage.settings.model_copy(update={"ingest_open": True}), actors=tuple(ACTORS))
    command = [
        *(str(HOUSE / ".venv" / "bin" / "schemathesis"), "--no-color", "run", f"{address.rstrip('/')}/openapi.json"),
        *("--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "1", "--generation-database", "none"),
    ]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert told.returncode == 0, told.stdout[-6000:]


def test_the_client_of_another_engine_sends_to_us(stage: Stage, serve: Serve) -> None:
    address = serve(stage.settings, actors=tuple(ACTORS))
    with stage.database.once("test") as connection:
        _, key = create(connection, "other", "ada", types=["parcel.*"])
    client = inngest.Inngest(
        app_id="shop", event_key=key, event_api_base_url=f"{address}/", is_production=False
    )
    sent = client.send_sync(
        [inngest.Event(name="parcel/sent", data={"parcelId": n}, id=f"parcel {n}") for n in range(3)]
    )
    assert len(sent) == 3
    wrong = inngest.Event(name=ParcelSent.event_type, data={"parcelId": "many"})
    with pytest.raises(Exception, match=r"nothing was published; data\.parcel_id: "):
        client.send_sync(wrong)
    assert sorted(row[:2] for row in kept(stage)) == [(f"parcel {n}", "event-key/other") for n in range(3)]
