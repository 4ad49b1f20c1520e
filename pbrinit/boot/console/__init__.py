"""The console: shell, login, and the commands that are only there."""
