"""The signer: follows the log itself, authorises every intent from the raw documents, and alone reaches the keys.

Small on purpose (``tests/test_promises.py`` counts its lines with all it imports): no HTTP, no format, no database.
"""
