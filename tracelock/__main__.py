"""``python -m tracelock``: the command line."""

from tracelock.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
