# syntax=docker/dockerfile:1
# The tree is made by tools/image_tree.py, as `make image` makes it without an engine: Debian's
# packages of deploy/image/debian.lock and Python's of requirements/runtime.lock, each by its hash.
# Of the base image below nothing reaches the result; it runs the build. docs/image.md has more.

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
# What `sidecar --version` says, for git is not here: "$(python3 workload/source_version.py)".
ARG SEPTEM_BUILD=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements requirements
COPY deploy/image deploy/image
COPY tools/image_tree.py tools/hatch_build.py tools/
COPY pyproject.toml README.md LICENSE ./
COPY workload workload
COPY sidecar sidecar
RUN apt-get update \
 && python tools/image_tree.py /tree \
 && rm -rf /var/lib/apt/lists/*

FROM scratch
LABEL org.opencontainers.image.title="Septem Sidecar" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /tree /
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 65532:65532
# Nothing is written: run with --read-only; sockets and the audit file, if any, on mounts.
ENV PATH=/usr/local/bin:/usr/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["sidecar", "health", "--live"]
ENTRYPOINT ["sidecar"]
CMD ["serve", "--config", "/etc/septem/sidecar.yaml"]
