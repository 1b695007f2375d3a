# syntax=docker/dockerfile:1
# Installs the same locked dependencies as `make run`, those of the extras included. The final image has no pip cache, no compiler and no root user.
ARG PYTHON=3.13-slim-bookworm
FROM python:${PYTHON} AS build
WORKDIR /build
COPY requirements.lock requirements-build.in ./
RUN python -m venv /opt/exporter \
 && /opt/exporter/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN python -m pip install --no-cache-dir -r requirements-build.in \
 && python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/exporter/bin/python -m pip install --no-cache-dir --no-deps /wheels/*.whl \
 && /opt/exporter/bin/python -m pip uninstall --yes --quiet pip

FROM python:${PYTHON}
ARG REVISION=
LABEL org.opencontainers.image.title="datarobot-workload-exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
ENV WORKLOAD_EXPORTER_REVISION=${REVISION} \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/exporter/bin:$PATH
COPY --from=build /opt/exporter /opt/exporter
USER 65532:65532
EXPOSE 10142
# Loopback is not reachable from outside the container. The address is part of CMD, so that your own command replaces it.
ENTRYPOINT ["workload-exporter"]
CMD ["run", "--web.listen-address=:10142"]
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["workload-exporter", "healthcheck"]
