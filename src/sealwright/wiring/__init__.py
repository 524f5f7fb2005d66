"""Composition roots: one module a process, and the instance on disk. Alone knows every adapter."""
