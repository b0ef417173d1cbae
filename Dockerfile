# syntax=docker/dockerfile:1
# Two stages: the first has pip and a compiler's worth of tools, the second only what runs.
# Build from a release tag; requirements/runtime.lock pins every package by hash.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/runtime.lock requirements/runtime.lock
RUN python -m venv /opt/sidecar \
 && /opt/sidecar/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.lock
COPY requirements/build.lock requirements/build.lock
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY workload workload
COPY sidecar sidecar
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist ./workload . \
 && /opt/sidecar/bin/pip install --no-deps --no-index /dist/*.whl \
 && /opt/sidecar/bin/pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="Septem Sidecar" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/sidecar /opt/sidecar
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 65532:65532
# Nothing is written: run with --read-only; sockets and the audit file, if any, on mounts.
ENV PATH=/opt/sidecar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["sidecar", "health", "--live"]
ENTRYPOINT ["sidecar"]
CMD ["serve", "--config", "/etc/septem/sidecar.yaml"]
