"""``python -m sidecar`` is the console script."""

from sidecar.cli import main

raise SystemExit(main())
