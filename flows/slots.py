"""One run at a time on a release: a named global concurrency limit of one in Prefect."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from lenscore.errors import ConflictError

LEASE_SECONDS = 60.0
"""A run that dies gives its slot back after this."""


def slot_name(release: str) -> str:
    """Name of a release's limit, as Prefect's UI shows it."""
    return f"lenscore-release-{release}"


@contextmanager
def release_slot(release: str, wait: bool = True) -> Iterator[None]:
    """Hold a release, so that no other run works on it.

    Args:
        release: its name.
        wait: wait for the one who has it.

    Raises:
        ConflictError: another has it, and this was not to wait.
    """
    create_slot(release)
    held = concurrency(
        slot_name(release),
        strict=True,
        lease_duration=LEASE_SECONDS,
        max_retries=None if wait else 0,
        # Should the server be away for long, two runs may meet: they make the same artifacts.
        raise_on_lease_renewal_failure=False,
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(held)
        except ConcurrencySlotAcquisitionError as error:
            if _is_locked(error.__cause__):
                raise ConflictError(f"{release} is being worked on by another run", "wait for it") from error
            raise
        yield


def create_slot(release: str) -> None:
    """Create a release's limit, if there is none."""
    name = slot_name(release)
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            except ObjectAlreadyExists:
                return


def _is_locked(error: BaseException | None) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.LOCKED
