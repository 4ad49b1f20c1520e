"""Deny entries, as the file has them.

In: the document, and the vocabulary that its names are taken from.  Out: `Deny` values; what is
wrong with one is noted, and what is odd remarked.
"""

from __future__ import annotations

from pbrinit.net.addresses import Family
from pbrinit.policy.policy import ANYBODY, Deny
from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.keys import NO_USER
from pbrinit.policy.reader.names import Vocabulary


def denies(words: Vocabulary, document: Node, remarks: Problems) -> tuple[Deny, ...]:
    """What is taken away from all that is allowed."""
    passing = "forward" in document
    found = tuple(_deny(words, node, remarks, passing=passing) for node in document.nodes("deny"))
    for deny in (deny for deny in found if deny.log):
        key = f"{deny.key}.log"
        if document.flag("log"):
            remarks.add(key, "does nothing: all who are refused are logged, as the policy says")
            continue
        for other in (other for other in found if other.reject and passing and other is not deny):
            if _asks_alike(deny, other):
                document.problems.add(
                    key,
                    f"{other.key} has some of these told what would be logged",
                    "the kernel speaks of a packet once: leave log here or reject there out",
                )
    return found


def _asks_alike(one: Deny, other: Deny) -> bool:
    """Whether somebody is among those who ask in both."""
    ends = (one.sources or ANYBODY, other.sources or ANYBODY)
    return any(ends[0].of(family).meets(ends[1].of(family)) for family in Family)


def _deny(words: Vocabulary, node: Node, remarks: Problems, *, passing: bool) -> Deny:
    reject = node.flag("reject")
    if "user" in node and "from" in node:
        node.problems.add(
            node.path("user"),
            "what others send has no user",
            "leave out user or from; with from and to it is about forwarded packets",
        )
    if "user" in node and reject:
        node.problems.add(node.path("reject"), f"it is about forwarding, and {NO_USER}")
    log = node.flag("log")
    if log:
        _logged(node, passing=passing)
    if reject and not passing:
        remarks.add(node.path("reject"), "does nothing where nothing is forwarded")
    sources, destinations = words.peers_of(node, "from"), words.peers_of(node, "to")
    for key, peers in (("from", sources), ("to", destinations)):
        if peers and any(peers.both) and not words.reach.families(peers, words.reach.interfaces):
            remarks.add(node.path(key), f"nobody of {peers.text} can be reached or heard anyway")
    return Deny(
        key=node.key,
        interfaces=words.interfaces_of(node, "on"),
        sources=sources,
        destinations=destinations,
        services=words.services_of(node),
        user=words.user_of(node),
        reject=reject,
        log=log,
    )


def _logged(node: Node, *, passing: bool) -> None:
    """Note what is refused so that the log does not hear of it."""
    told = "of what is sent from here the program is told at once, and not the log"
    if "user" in node:
        node.problems.add(node.path("log"), told, "leave log or user out")
    if node.flag("reject"):
        node.problems.add(
            node.path("log"),
            "the kernel speaks of a packet once: to who sent it, or to the log",
            "leave log or reject out",
        )
    if "to" in node and not passing:
        about = "nothing passes through" if "from" in node else told
        node.problems.add(node.path("log"), about, "leave log or to out")
