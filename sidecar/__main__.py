"""``python -m sidecar`` is the console script."""

from sidecar.cli.main import main

raise SystemExit(main())
