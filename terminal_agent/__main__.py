"""`python -m terminal_agent` is `klantreis-till`."""

from terminal_agent.cli import main

main()
