"""The `dotflow` command, with the mutant of the environment in it where that names one."""

from __future__ import annotations

from dotflow.main import main
from support import mutants

if __name__ == "__main__":
    mutants.switch_on()
    main()
