"""Memory of a consumer that starts on a backlog: see __main__.py."""
