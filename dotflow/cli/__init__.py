"""The `dotflow` command: `setup` says what there is, `commands` has one module a command."""
