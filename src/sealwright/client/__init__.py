"""The client's side: it hashes, prepares, patches and signs locally, and speaks HTTP to a server."""
