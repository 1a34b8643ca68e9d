"""Tells people what a run came to, through a block of Prefect whose address is a secret."""

from collections.abc import Callable
from typing import Any

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.utilities.asyncutils import run_coro_as_sync


def notify(block: str, text: str, log: Callable[[str], None]) -> bool:
    """Send a text. That it cannot be sent is logged, and stops nothing; the address is never logged.

    Args:
        block: type and name, such as webhook/lenscore or slack-webhook/team.
        text: for people.
        log: gets a line where it fails.

    Returns:
        Whether it was taken.
    """
    try:
        found: Any = Block.load(block)
        if isinstance(found, NotificationBlock):
            answer = found.notify(text, "lenscore")
            if hasattr(answer, "__await__"):
                run_coro_as_sync(answer)
            return True
        response: Any = run_coro_as_sync(found.call({"text": text}))
        status = int(response.status_code)
    except Exception as error:
        # The text of such an error can hold the address.
        log(f"block {block} could not be told: {type(error).__name__}; check it in Prefect's UI under Blocks")
        return False
    if status >= 300:
        log(f"block {block} could not be told: its server answered {status}; check it in Prefect's UI under Blocks")
    return status < 300
