# `ultraedit serve` on a CPU.  docs/serving.md says how it is built and run; tests/dockerfile_steps.py runs its steps without a container.
FROM python:3.11-slim

# pip reads it: an index with torch for the CPU alone makes the image a few GB smaller
ARG PIP_EXTRA_INDEX_URL

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    ULTRAEDIT_CACHE=/data/cache

WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src ./src

RUN pip install --constraint constraints.txt ".[serve]"

RUN groupadd --gid 10001 ultraedit \
    && useradd --create-home --uid 10001 --gid 10001 ultraedit \
    && mkdir -p /data/cache \
    && chown -R ultraedit:ultraedit /data

USER 10001:10001
VOLUME /data
EXPOSE 8000

# the workspace is a folder of the volume; keys come from ULTRAEDIT_API_KEY and ULTRAEDIT_ADMIN_KEY
ENTRYPOINT ["ultraedit", "serve"]
CMD ["/data/workspace", "--host", "0.0.0.0", "--port", "8000"]

HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
