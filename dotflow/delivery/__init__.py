"""How what the run log says reaches dotflow-api.

    run log -> fold -> order -> outbox -> relay -> http

A Server only writes a line of the log and pokes the relay; all that touches a socket happens in the
relay's threads. `fold` makes records of facts and messages of records, `order` says which may go,
and `dead` takes over what dead processes left. `outbox` is all that waits for one dotflow-api, and
`channel` the one door to that. The rest is for a person who looks at what waits: `survey`,
`dropping`, `dead_letters`, `revival`.
"""
