# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin quoteguard && cp target/release/quoteguard /usr/local/bin/quoteguard

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin quoteguard \
    && install -d -o quoteguard -g quoteguard /data
COPY --from=build /usr/local/bin/quoteguard /usr/local/bin/quoteguard
USER quoteguard
# The embedded service keeps its SQLite file here; with Kafka and Redis nothing is.
WORKDIR /data
VOLUME /data
ENV QUOTEGUARD__STORAGE__PATH=/data/quoteguard.db \
    QUOTEGUARD__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
# The image has no curl: bash opens the connection itself.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s \
    CMD ["bash", "-c", \
         "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -ru3 _ code _ && [ $code = 200 ]"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["quoteguard"]
CMD ["serve"]
