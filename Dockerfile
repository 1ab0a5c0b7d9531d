# syntax=docker/dockerfile:1
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /tmp/build
COPY . .
# Shown by `--version` and the metric `quoteguard_build_info`.
ARG QUOTEGUARD_COMMIT=unknown
# As `make dist` builds it: it needs glibc and nothing else.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/tmp/build/target \
    scripts/dist.sh build \
    && cp target/dist/build/release/quoteguard /usr/local/bin/quoteguard \
    && mkdir /data

# glibc and certificates; no shell, and its user `nonroot` is 65532.
FROM gcr.io/distroless/base-debian12:nonroot
COPY --from=build /usr/local/bin/quoteguard /usr/local/bin/quoteguard
# The embedded service keeps its SQLite file here; with Kafka and Redis nothing is.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
VOLUME /data
USER nonroot
ENV QUOTEGUARD__STORAGE__PATH=/data/quoteguard.db \
    QUOTEGUARD__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["/usr/local/bin/quoteguard", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/quoteguard"]
CMD ["serve"]
