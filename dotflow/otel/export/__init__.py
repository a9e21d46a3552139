"""How spans leave.

A span that has ended goes from the `provider`, which may be the application's, into the queue of
`leaving`, where a thread sends what waits there by `otlp`.
"""
