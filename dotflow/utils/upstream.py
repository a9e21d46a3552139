"""Names of upstream's dotflow that are not here, each with what to use instead.

Whoever moves a program here meets these as errors, so each error says how to go on.
"""

from __future__ import annotations

import sys

PAGE = "docs/migrate/upstream.md"

PROVIDERS = {
    "NotifyTelegram": "NotifyApprise('tgram://BOT_TOKEN/CHAT_ID') of dotflow.providers "
    "(pip install 'dotflow[notify]')",
    "NotifyDiscord": "NotifyApprise('discord://WEBHOOK_ID/WEBHOOK_TOKEN') of dotflow.providers "
    "(pip install 'dotflow[notify]')",
    "StorageS3": "StorageFile(path='s3://BUCKET/PREFIX') of dotflow.providers "
    "(pip install 'dotflow[remote]')",
    "StorageGCS": "StorageFile(path='gs://BUCKET/PREFIX') of dotflow.providers "
    "(pip install 'dotflow[gcs]')",
    "LogSentry": "sentry_sdk.capture_exception() in a class of your own that derives from "
    "LogDefault of dotflow.providers",
    "TracerSentry": "ServerOtel of dotflow.otel, with Sentry's address for traces in "
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "ApiDefault": "ServerDefault of dotflow.providers",
}
"""By the name of the class in `dotflow.providers`: what to use instead."""

MODULES = {
    "api_default": "ApiDefault",
    "log_sentry": "LogSentry",
    "notify_discord": "NotifyDiscord",
    "notify_telegram": "NotifyTelegram",
    "storage_gcs": "StorageGCS",
    "storage_s3": "StorageS3",
    "tracer_sentry": "TracerSentry",
}
"""By the name of the module in `dotflow.providers`: the class that upstream has in it."""

_IMAGE = "That platform runs an image: build one that starts `dotflow start --workflow ...`."
_LAMBDA = "Use `dotflow cloud lambda`, which writes a stack that you deploy."

COMMANDS = {
    "dotflow init": "There is no project to generate: a workflow is one file (docs/start.md).",
    "dotflow login": "There is no account: set SERVER_BASE_URL and SERVER_USER_TOKEN.",
    "dotflow logout": "There is no account: unset SERVER_BASE_URL and SERVER_USER_TOKEN.",
    "dotflow start s3": "Use '--storage file --path s3://BUCKET/PREFIX'.",
    "dotflow start gcs": "Use '--storage file --path gs://BUCKET/PREFIX'.",
    "dotflow schedule s3": "Use '--storage file --path s3://BUCKET/PREFIX'.",
    "dotflow schedule gcs": "Use '--storage file --path gs://BUCKET/PREFIX'.",
    "dotflow cloud list": "Use `dotflow cloud --help`, which lists the platforms.",
    "dotflow cloud generate": "Use `dotflow cloud PLATFORM --workflow MODULE:NAME`.",
    "dotflow deploy --platform": "Use `dotflow deploy PLATFORM`, without '--platform'.",
    "dotflow deploy ecs-scheduled": "Use `dotflow deploy ecs --schedule CRON`.",
    "dotflow deploy lambda": _LAMBDA,
    "dotflow deploy lambda-scheduled": _LAMBDA,
    "dotflow deploy lambda-api-trigger": _LAMBDA,
    "dotflow deploy lambda-s3-trigger": _LAMBDA,
    "dotflow deploy lambda-sqs-trigger": _LAMBDA,
    "dotflow deploy github-actions": "Use `dotflow cloud github`, which writes the workflow file.",
    "dotflow deploy cloud-run": _IMAGE,
    "dotflow deploy alibaba-fc": _IMAGE,
    "dotflow deploy alibaba-fc-scheduled": _IMAGE,
    "dotflow deploy ecs --project": "Use '--name NAME', and '--workflow MODULE:NAME'.",
    "dotflow deploy codebuild --project": "Use '--name NAME', and '--workflow MODULE:NAME'.",
}
"""By a command and a word that upstream takes there: what to write instead."""


def message_of(path: str, name: str) -> str:
    """What is said to somebody who imports a name that upstream has.

    Args:
        path: What was imported, as "dotflow.providers.StorageS3".
        name: The class that it leads to upstream.
    """
    return f"Upstream's {path} is not in this dotflow. Use {PROVIDERS[name]}. See {PAGE}."


def hint_for(command: str, word: str) -> str:
    """What to write in place of a word that upstream takes, with a space before it; else nothing.

    Args:
        command: The command that was given the word, as "dotflow cloud".
        word: The word.
    """
    found = COMMANDS.get(f"{command} {word}")
    return f" {found}" if found else ""


class ModuleHints:
    """Says what to use in place of a module of upstream's.

    A finder that is asked last, so only for modules that nobody has: it finds nothing, and for
    the modules of the table it says so in other words than Python does.
    """

    @staticmethod
    def find_spec(fullname: str, *_more: object) -> None:
        """Raise ModuleNotFoundError, with a remedy, for a module that upstream has."""
        package, _, module = fullname.rpartition(".")
        if package == "dotflow.providers" and module in MODULES:
            raise ModuleNotFoundError(message_of(fullname, MODULES[module]), name=fullname)

    @classmethod
    def install(cls) -> None:
        """Have Python ask it, once."""
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)
