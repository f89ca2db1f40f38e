"""A coroutine: a step that is done, and an await until somebody says go."""

import asyncio

from broker import AsyncRun, actor
from tests.support.ferry.schemas import FerryDrifted, gone, note


@actor()
async def drift(event: FerryDrifted, run: AsyncRun) -> None:
    await run.step("cast-off", cast_off, event.folder)
    note(event.folder, "pull")
    while not gone(event.folder):  # noqa: ASYNC110  another process says go
        await asyncio.sleep(0.01)


async def cast_off(folder: str) -> None:
    note(folder, "cast off")
