"""The sysctls that close the kernel to its own programs; the policy's are in the plan.

In: nothing.  Out: keys with slashes, values, reasons.  They are the machine's whatever the
policy says, so they are not part of it. Source of each meaning: Documentation/admin-guide/sysctl
and, for kernel/yama, Documentation/admin-guide/LSM/Yama.rst of the kernel.
"""

from __future__ import annotations

HARDENING = (
    ("kernel/kptr_restrict", "2", "no address of the kernel is told, not even to root"),
    ("kernel/dmesg_restrict", "1", "the log is root's"),
    ("kernel/perf_event_paranoid", "3", "nobody measures what others do"),
    ("kernel/yama/ptrace_scope", "3", "no program looks into another; this cannot be taken back"),
    ("kernel/randomize_va_space", "2", "programs are placed anew at each start"),
    ("kernel/oops_limit", "100", "faults do not go on without end"),
    ("kernel/warn_limit", "100", "nor do the kernel's doubts about itself"),
    ("dev/tty/ldisc_autoload", "0", "no line discipline but the ordinary one"),
    ("dev/tty/legacy_tiocsti", "0", "nobody types into a terminal for somebody else"),
    ("fs/protected_symlinks", "1", "a link in a shared folder leads only its owner"),
    ("fs/protected_hardlinks", "1", "nobody links to what he cannot write"),
    ("fs/protected_fifos", "2", "nor puts a pipe where a file is awaited"),
    ("fs/protected_regular", "2", "nor a file of his own"),
    ("fs/suid_dumpable", "0", "a program that changed its user leaves no image of itself"),
    ("vm/mmap_min_addr", "65536", "a null pointer that the kernel follows is nobody's memory"),
    ("vm/mmap_rnd_bits", "32", "programs are placed as freely as the CPU allows"),
    ("user/max_user_namespaces", "4", "one for each room, made by its root; programs make none"),
    ("fs/file-max", "10000000", "a program's own memory limits its files, not those of all"),
    ("kernel/threads-max", "32768", "a program's own number limits it, not that of all"),
    ("vm/oom_kill_allocating_task", "1", "who takes the last memory is ended, not who has most"),
    ("vm/watermark_boost_factor", "0", "the last 4 MiB are for use: nothing here is reclaimed"),
    ("net/ipv4/neigh/default/gc_thresh2", "2048", "strangers fill the table of all links, slowly"),
    ("net/ipv4/neigh/default/gc_thresh3", "8192", "and keep nobody else out of it"),
    ("net/ipv6/neigh/default/gc_thresh2", "2048", "strangers fill the table of all links, slowly"),
    ("net/ipv6/neigh/default/gc_thresh3", "8192", "and keep nobody else out of it"),
    ("net/ipv4/icmp_ignore_bogus_error_responses", "1", "a broken router does not fill the log"),
)
"""Key, value, reason."""

SYSCTLS = tuple((key, value) for key, value, _ in HARDENING)
"""Key and value, as `sysctl.write` and `sysctl.differences` take them."""
