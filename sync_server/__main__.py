"""`klantreis-office`, also as `python -m sync_server`.

What takes long to import is imported inside, so that Ctrl-C in the first second is no traceback.
"""

import sys

INTERRUPTED = 130


def main() -> None:
    """Runs the command line."""
    try:
        from sync_server.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
