"""The HTTP side of the server: authentication, routes, problem documents. Decides nothing."""
