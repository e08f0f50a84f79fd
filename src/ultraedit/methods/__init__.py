"""The editors, a file each: what each remembers, what it asks of a turn's tokens, and what must not move."""
