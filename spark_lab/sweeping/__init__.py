"""A multirun: which runs it has, running each once on any launcher, and what is said at the end."""
