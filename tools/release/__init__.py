"""A release: its artefacts built twice, listed, tried and signed (``make release``)."""
