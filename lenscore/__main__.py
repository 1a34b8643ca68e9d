"""`python -m lenscore` is the command `lenscore`."""

from lenscore.cli import main

main()
