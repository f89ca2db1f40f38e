"""Forget a person: what their songs say and whose they are, and the songs themselves. Orders stay, for they are the books'."""

from actors.orders import providers, store
from broker import Run, actor
from schemas.people import PersonErasureRequested


@actor(title="Erase a Person's Orders")
def erase(event: PersonErasureRequested, run: Run) -> None:
    person = {"person": event.person_id}
    run.step("delete-songs", delete_songs, run.step("find-songs", store.songs_of, person, transactional=True))
    for statement in store.ERASE:
        run.write(statement, person)


def delete_songs(urls: list[str]) -> int:
    """How many there were. A song that is gone already is fine; raises StorageError."""
    for url in urls:
        providers.storage().delete(store.ORDERS + url.rpartition(f"/{store.ORDERS}")[2])
    return len(urls)
