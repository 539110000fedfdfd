# The gateway:                docker build -t sarlens .
# sarlens-nano on the CPU:    docker build -t sarlens-nano --target nano .
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils=2.40-* gcc=4:12.2.0-* libc6-dev=2.36-* libnuma1=2.0.16-* tini=0.19.0-* \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python3 -m venv /opt/sarlens && /opt/sarlens/bin/pip install setuptools==78.1.1
COPY service/requirements/gateway.txt ./
RUN /opt/sarlens/bin/pip install --no-compile --no-deps --require-hashes --requirement gateway.txt
COPY pyproject.toml README.md ./
COPY service service
RUN /opt/sarlens/bin/pip install --no-compile --no-deps --no-build-isolation .

FROM build AS build-nano
# An additional index with CPU builds of torch, if pip's default index has only CUDA builds.
ARG PIP_EXTRA_INDEX_URL=
COPY service/requirements/worker.txt ./
RUN /opt/sarlens/bin/pip install --no-deps --requirement worker.txt \
    && /opt/sarlens/bin/sarbench nano --out /opt/sarlens-nano \
    && cp /usr/lib/*-linux-gnu/libnuma.so.1 /opt

FROM build AS build-gateway
RUN /opt/sarlens/bin/pip uninstall --yes setuptools pip \
    && service/requirements/trim.sh /opt/sarlens/lib/python3.11/site-packages && rm /opt/sarlens/bin/sarbench \
    && mkdir /jobs

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="sarlens" \
      org.opencontainers.image.description="Ask questions of radar images" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Process 1 has no default signal handlers, so a starting Python would ignore SIGTERM. tini forwards SIGTERM, and reaps
# orphaned processes.
COPY --from=build /usr/bin/tini-static /usr/bin/tini
ENV PATH=/opt/sarlens/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SARLENS_HOST=0.0.0.0
# Processes write only to /tmp and to volumes, so the root file system can be read-only.
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["tini", "--", "sarlens"]

FROM runtime AS nano
COPY --from=build-nano /opt/sarlens /opt/sarlens
COPY --from=build-nano /opt/sarlens-nano /opt/sarlens-nano
# vLLM's CPU code requires libnuma, and the base image doesn't have it.
COPY --from=build-nano /opt/libnuma.so.1 /usr/lib/
ENV HOME=/tmp OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_ENABLE_V1_MULTIPROCESSING=0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
# Every processor supports float32. Without bfloat16 instructions, bfloat16 is emulated and several times as slow.
CMD ["worker", "--model", "/opt/sarlens-nano", "--host", "0.0.0.0", "--enforce-eager", "--block-size", "32", \
     "--distributed-executor-backend", "uni", "--max-model-len", "4096", "--kv-cache-memory-bytes", "128M", \
     "--max-num-seqs", "32", "--skip-mm-profiling", "--mm-processor-cache-gb", "0.25", \
     "--limit-mm-per-prompt", "{\"image\":4}", "--dtype", "float32", \
     "--structured-outputs-config", "{\"backend\":\"xgrammar\",\"disable_any_whitespace\":true}"]

FROM runtime AS gateway
COPY --from=build-gateway /opt/sarlens /opt/sarlens
# Database of survey jobs, unless SARLENS_SURVEY__DATABASE names a PostgreSQL database.
COPY --from=build-gateway --chown=10001:10001 /jobs /var/lib/sarlens
ENV XDG_STATE_HOME=/var/lib
VOLUME /var/lib/sarlens
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('SARLENS_PORT', 8080)}/healthz\", timeout=2)"]
CMD ["serve"]
