"""How what the run log says reaches dotflow-api.

    run log -> Outbox (records, lanes) -> Relay (threads) -> Client (HTTP) -> Dialect

A Server only writes a line of the log and pokes the relay; all that touches a socket happens in the
relay's threads. `records` folds facts into what is to be said, `unit` and `lanes` say in which
order, `bodies` makes the messages, `adoption` takes over what dead processes left.
"""
