"""``python -m sidecar`` is the console script."""

from sidecar.cli.entry import main

raise SystemExit(main())
