"""What runs in the image: PID 1 and what it needs, no more.

Nothing in here imports the compiler, TOML, or a module of Python's library that costs
more time than the rules do.
"""
