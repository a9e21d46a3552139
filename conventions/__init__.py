"""The names that dotflow emits: one registry, what is made from it, and a check against it.

`python -m conventions` makes `dotflow/otel/attributes.py` and the tables of
`docs/reference/telemetry.md` from the files of `model/`, which are in the form of OpenTelemetry
Weaver. No part of this is in the package: it needs no YAML.
"""
