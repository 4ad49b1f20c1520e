"""What a person asks of the running machine: a program of its own, beside PID 1.

It has what PID 1 must not have, the language and the compiler, so that a policy is compiled where
it is tried. Nothing under pbrinit.boot imports it.
"""
