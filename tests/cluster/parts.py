"""The programs of a cluster: where they lie, how they are started and kept up."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "cluster"
BIN = CACHE / "bin"
ADDRESS = "10.244.0.1"
DNS = "10.96.0.10"
NODES = {"node1": "10.244.0.1", "node2": "10.244.0.2"}
WAIT_SECONDS = 120


class Parts:
    """Starts programs, and starts those again that end, as a machine's service manager would.

    Args:
        folder: of the run; logs go there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self._commands: dict[str, tuple[list[str], Mapping[str, str] | None]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        threading.Thread(target=self._keep, daemon=True).start()

    def start(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a program."""
        self._commands[name] = (command, environment)
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def stop(self) -> None:
        """Start nothing again; the end of the namespace ends all."""
        self._stopping.set()

    def _keep(self) -> None:
        while not self._stopping.wait(0.5):
            for name, process in list(self._running.items()):
                if process.poll() is not None:
                    self.start(name, *self._commands[name])


def wait_until(what: str, ready: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until something holds; what goes wrong meanwhile does not matter."""
    end = time.monotonic() + seconds
    trouble: Exception | None = None
    while time.monotonic() < end:
        try:
            if ready():
                return
        except Exception as error:
            trouble = error
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not in {seconds} s ({trouble})")


def run(*command: str) -> str:
    """Run a program to its end; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
