"""The life of this process: what happens when it forks, and at its end."""
