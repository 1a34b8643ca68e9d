"""Ways to run a job: as a process here, or as a Kubernetes Job."""

from flows.launchers.base import Launcher, Progress, Request
from flows.launchers.local import LocalLauncher

__all__ = ["Launcher", "LocalLauncher", "Progress", "Request"]
