"""What steps log: log records with the span that was current, and how they leave."""
