"""`klantreis-till`, also as `python -m terminal_agent`.

What takes long to import is imported inside, so that Ctrl-C in the first second is no traceback.
"""

import sys

INTERRUPTED = 130


def main() -> None:
    """Runs the command line."""
    try:
        from terminal_agent.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
