"""Takes over what dead processes left: ends their runs, and has the reports sent."""
