"""The event that says a release was announced; an automation starts the watch at once."""

import asyncio

from prefect.events import Event, Resource
from prefect.events.clients import get_events_client
from prefect.settings import PREFECT_API_URL

from lenscore.artifacts.announcements import Announcement

ANNOUNCED = "lenscore.release.announced"
SECONDS = 30.0


def emit_announced(announcement: Announcement, store: str) -> bool:
    """Tell Prefect, where an address of it is configured.

    Args:
        announcement: what.
        store: address of the store.

    Returns:
        Whether there was somebody to tell.

    Raises:
        OSError, TimeoutError: it could not be reached.
    """
    if not PREFECT_API_URL.value():
        return False
    event = Event(
        event=ANNOUNCED,
        resource=Resource({"prefect.resource.id": f"lenscore.release.{announcement.release}", "lenscore.store": store}),
        payload={"release": announcement.release, "announced": announcement.announced},
    )
    asyncio.run(asyncio.wait_for(_emit(event), SECONDS))
    return True


async def _emit(event: Event) -> None:
    async with get_events_client(reconnection_attempts=2, checkpoint_every=1) as client:
        await client.emit(event)
