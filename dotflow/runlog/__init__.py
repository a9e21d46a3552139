"""The run log: what happens in a run, written once, in a file that outlives the process.

One append-only log a process (`writer`), one line of JSON a fact (`lines`), each context encoded
once (`texts`). Readers (`reader`) write into files beside the log what they have said of it
(`receipts`); a process that takes over what a dead one left says so in another (`claims`). Nothing
here knows HTTP or OpenTelemetry. docs/understand/run-log.md describes the format.
"""
