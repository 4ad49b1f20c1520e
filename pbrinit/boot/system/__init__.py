"""System calls, sysctls, privileges, the log on the consoles, files and sockets."""
