"""Keystores: where private keys live, and the worker process that alone holds one partition's login."""
