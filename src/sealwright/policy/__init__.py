"""Documents, the fold of the log and ``authorise``: who may have what signed. Pure, and without any format.

``policy`` uses the hash tree of ``translog`` for the sections of a policy document (docs/adr/0003).
"""
