# syntax=docker/dockerfile:1
# The image of a workflow of yours. In your project's folder, with a clone of dotflow beside it:
#   docker build --build-context dotflow=../dotflow --file ../dotflow/docker/workflow.Dockerfile --tag etl .
#   docker run --init --env-file etl.env --volume etl:/var/lib/dotflow etl start --workflow etl:pipeline
# requirements.txt names the packages that your steps need; it may be empty.
ARG PYTHON=3.13
FROM python:${PYTHON}-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# Not root; a new volume gets the owner of the folder that it is mounted over.
RUN groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --home-dir /var/lib/dotflow --no-create-home app \
    && install --directory --owner app --group app /var/lib/dotflow
VOLUME /var/lib/dotflow

# The outbox and the results are on the volume: the next container delivers what this one could not.
ENV DOTFLOW_STATE_DIR=/var/lib/dotflow/state \
    DOTFLOW_OUTPUT_PATH=/var/lib/dotflow/results

WORKDIR /app

# What changes seldom comes first. `dotflow` in requirements.txt is this one, and no other.
ARG EXTRAS=scheduler
RUN --mount=type=bind,from=dotflow,target=/dotflow,rw \
    --mount=type=bind,source=requirements.txt,target=/requirements.txt \
    pip install "/dotflow[${EXTRAS}]" --requirement /requirements.txt
COPY . .

USER 10001:10001

# Words and no shell, which would keep SIGTERM to itself. There is no health check: the exit status
# of `start` says how the run ended. If a container stays, for `schedule`, its log says each run.
ENTRYPOINT ["dotflow"]
CMD ["--help"]
