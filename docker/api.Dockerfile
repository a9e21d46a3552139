# syntax=docker/dockerfile:1
# dotflow-api, with its records on the volume at /var/lib/dotflow; DOTFLOW_API_TOKEN is its token.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# Not root; a new volume gets the owner of the folder that it is mounted over.
RUN groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --home-dir /var/lib/dotflow --no-create-home app \
    && install --directory --owner app --group app /var/lib/dotflow

WORKDIR /app
RUN --mount=type=bind,target=/src,rw pip install '/src[postgres]'

EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

USER 10001:10001
CMD ["dotflow", "api", "--host", "0.0.0.0", "--port", "8000", "--database", "sqlite:////var/lib/dotflow/api.db", "--keep", "90d"]
