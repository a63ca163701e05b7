"""Credentials: an API key, an OAuth client, a login, the environment or a secret file."""
