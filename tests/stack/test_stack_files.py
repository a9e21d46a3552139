"""The files that users are told to run say the same as each other."""

from __future__ import annotations

import re

import yaml
from stack_servers import HERE, ROOT

CONFIG = (ROOT / "collector-config.yaml").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docs" / "compose.yaml").read_text(encoding="utf-8")
GATEWAYS = ROOT / "docs" / "collector"
BUILDER = (HERE / "builder.yaml").read_text(encoding="utf-8")
MODULE = (HERE / "go.mod").read_text(encoding="utf-8")
PROMETHEUS = (HERE / "prometheus" / "go.mod").read_text(encoding="utf-8")
VICTORIALOGS = (HERE / "victorialogs" / "go.mod").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "guides" / "stack.md").read_text(encoding="utf-8")

# Jaeger's releases bear both numbers; its Go module knows the first alone.
JAEGER = {"v1.76.0": "2.13.0"}


def variables(text):
    """The variables that a file of ours uses, with their defaults."""
    return dict(
        re.findall(r"\$\{env:(\w+):-([^}]*)\}", re.sub(r"^\s*#.*", "", text, flags=re.MULTILINE))
    )


def said(text):
    """The variables that its comment names, with their defaults."""
    return dict(re.findall(r"^#   ([A-Z][A-Z0-9_]+) .*?  (\[[^\]]*\]|\S+)$", text, re.MULTILINE))


def test_each_variable_is_explained():
    """The comment of each file names its variables and their defaults, and no others."""
    assert said(CONFIG) == variables(CONFIG)
    added = [HERE / f"jaeger{one}.yaml" for one in ("", "-disk")]
    added += [GATEWAYS / f"{one}.yaml" for one in ("agent", "gateway")]
    for text in (file.read_text(encoding="utf-8") for file in added):
        used = variables(text)
        shared = used.keys() & variables(CONFIG).keys()
        assert said(text) == {name: used[name] for name in used.keys() - shared}
        assert said(text)
        assert all(used[name] == variables(CONFIG)[name] for name in shared)


def test_the_images_are_what_is_tested():
    """The images of the compose file and of the page are of the versions that are built here."""
    [collector] = re.findall(r"^  version: (\S+)$", BUILDER, re.MULTILINE)
    [builder] = re.findall(r"collector/cmd/builder v(\S+)", MODULE)
    [jaeger] = re.findall(r"jaegertracing/jaeger (\S+)", MODULE)
    assert collector == builder
    for text in (COMPOSE, (GATEWAYS / "compose.yaml").read_text(encoding="utf-8")):
        assert set(re.findall(r"collector-contrib:([\d.]+)", text)) == {collector}
        assert set(re.findall(r"jaegertracing/jaeger:([\d.]+)", text)) == {JAEGER[jaeger]}
    assert set(re.findall(r"jaegertracing/jaeger:([\d.]+)", PAGE)) == {JAEGER[jaeger]}
    [(minor, patch)] = re.findall(r"prometheus/prometheus v0\.3(\d\d)\.(\d+)", PROMETHEUS)
    assert f"prom/prometheus:v3.{int(minor)}.{patch}" in COMPOSE
    [victorialogs] = re.findall(r"VictoriaMetrics/VictoriaLogs (v\S+)", VICTORIALOGS)
    assert f"victoriametrics/victoria-logs:{victorialogs}" in COMPOSE
    logs = victorialogs.lstrip("v").rpartition(".")[0]
    programs = f"`jaeger` {JAEGER[jaeger]}, `prometheus` 3.{int(minor)} and `victoria-logs` {logs}"
    assert f"`otelcol-contrib` {collector}, {programs} are" in PAGE


def test_the_collector_has_what_the_file_names():
    """The builder's components are those that the files of ours use, and no others."""
    built = re.findall(r"gomod: \S+/(\w+) v[\d.]+$", BUILDER, re.MULTILINE)
    assert sorted(built) == sorted(
        ["otlpreceiver", "memorylimiterprocessor", "tailsamplingprocessor", "otlpexporter",
         "otlphttpexporter", "loadbalancingexporter", "nopexporter", "debugexporter",
         "healthcheckextension", "filestorage", "envprovider", "fileprovider", "yamlprovider"]
    )  # fmt: skip
    for used in (
        "otlp", "memory_limiter", "otlp_grpc", "otlp_http/metrics", "otlp_http/logs", "nop",
        "debug", "health_check", "file_storage",
    ):  # fmt: skip
        assert re.search(rf"^  {used}:$", CONFIG, re.MULTILINE), used


def test_the_compose_file_sets_what_there_is():
    """Its variables of the Collector are ones that the Collector's file knows."""
    inside = COMPOSE.partition("environment:")[2].partition("volumes:")[0]
    assert set(re.findall(r"^      (\w+):", inside, re.MULTILINE)) <= set(variables(CONFIG))


def test_the_gateways_of_the_compose_file_are_those_of_the_agent():
    """Its containers are called what the agent looks for; the files know its variables."""
    services = yaml.safe_load((GATEWAYS / "compose.yaml").read_text(encoding="utf-8"))["services"]
    agent, gateway = (
        variables((GATEWAYS / f"{one}.yaml").read_text(encoding="utf-8"))
        for one in ("agent", "gateway")
    )
    for number in (1, 2):
        name, _, port = agent[f"GATEWAY_{number}"].partition(":")
        assert services[name]["environment"].keys() <= {*gateway, *variables(CONFIG)}
        assert port == variables(CONFIG)["COLLECTOR_GRPC_PORT"]
    assert services["agent"]["environment"].keys() <= {*agent, *variables(CONFIG)}
