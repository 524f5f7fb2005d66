"""Use cases of the server, a verb a module, with the ports they need. They accept, collect and order; they cannot sign.

What is checked here is checked so that people get their answer early; the signer and every auditor check it again.
"""
