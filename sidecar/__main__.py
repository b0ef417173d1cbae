"""``python -m sidecar`` is the console script."""

from sidecar.cli.script import main

raise SystemExit(main())
