# The gateway with the shipped models. Two stages: the second holds no pip cache, no compiler and nothing of the source.
# BASE is any Debian with Python 3.11 or newer as `python`, its venv and pip; scripts/base-image makes one without a registry.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE} AS build
# requirements.lock leaves out what models in S3, signatures and OpenTelemetry need, and takes 69 MB less.
ARG LOCK=requirements-image.lock
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv --without-pip /opt/gateway
COPY requirements.lock requirements-image.lock ./
RUN python -m pip --python /opt/gateway/bin/python install --require-hashes --only-binary :all: -r "${LOCK}"
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN python -m pip --python /opt/gateway/bin/python install --no-deps --no-build-isolation .

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="canary-gateway" \
      org.opencontainers.image.description="An online model-serving gateway with canary routing" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The state directory is the only place that is written to: run with a read-only root and a volume there.
RUN groupadd --gid 10001 gateway \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/gateway --shell /usr/sbin/nologin gateway \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/gateway
COPY --from=build /opt/gateway /opt/gateway
COPY deploy/image/health.py /opt/gateway/health.py
COPY models /srv/models
COPY routing_configs /srv/routing_configs
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    OPENBLAS_NUM_THREADS=1 \
    GATEWAY_MODELS=/srv/models \
    GATEWAY_ROUTES=/srv/routing_configs \
    GATEWAY_STATE_DIR=/var/lib/gateway \
    GATEWAY_HOST=0.0.0.0
WORKDIR /var/lib/gateway
USER 10001:10001
VOLUME /var/lib/gateway
# Inference over HTTP, over gRPC, and the admin port, which stays on loopback until it has tokens.
EXPOSE 8080 8081 9090
STOPSIGNAL SIGTERM
# Follows the settings in the environment, TLS and certificates of callers included.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "/opt/gateway/health.py"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
