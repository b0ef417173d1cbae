"""A key for each subject, of which any can be deleted alone, in a few hundred bytes. Pure.

The keys are the leaves of a binary tree of hashes (Goldreich, Goldwasser, Micali 1986): each node
is a seed, and its two children are the halves of its SHA-256. Who has the root has every key, so
nothing is stored for a subject, and nobody waits for a key. To delete one, the root is replaced
by the siblings of the path to that leaf (a puncturable pseudorandom function; Boneh and Waters
2013): every other key can still be computed, and this one by nobody any more.

A subject that comes back after that gets a key of the next tree, which has nothing to do with the
one before.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

DEPTH = 40
"""Bits of a leaf's position: of a million subjects, one in a million shares a leaf."""
SEED_BYTES = 16
_PREFIX_BYTES = DEPTH // 8
_NODE_BYTES = 1 + _PREFIX_BYTES + SEED_BYTES

Node = tuple[int, int]
"""The level below the root, and the bits of the path to it."""
Tree = Mapping[Node, bytes]


class KeyForest(NamedTuple):
    """The trees, of which each subject's key is in the first that still has it."""

    index_key: bytes
    """The key by which subjects get their positions, so that these say nothing of them."""
    trees: tuple[Tree, ...]

    @classmethod
    def fresh(cls) -> "KeyForest":
        """Return one tree with a random root."""
        return cls(secrets.token_bytes(SEED_BYTES), (_fresh_tree(),))

    def __repr__(self) -> str:
        """Show no key."""
        return f"KeyForest({len(self.trees)} trees)"

    def position(self, tenant: str, subject: str) -> int:
        """Return the position of a subject's leaf."""
        # The length first: no two pairs have the same bytes.
        named = tenant.encode()
        message = len(named).to_bytes(4) + named + subject.encode()
        digest = hmac.digest(self.index_key, message, "sha256")
        return int.from_bytes(digest[:_PREFIX_BYTES])

    def key(self, position: int) -> bytes:
        """Return the key at a position. Raises ``LookupError`` if no tree has it."""
        for tree in self.trees:
            found = _ancestor(tree, position)
            if found is not None:
                return _descend(tree[found], found[0], position)
        raise LookupError("no tree has this key")

    def without(self, position: int) -> "KeyForest":
        """Return it without the key that ``key`` returns for this position."""
        trees = list(self.trees)
        for number, tree in enumerate(trees):
            found = _ancestor(tree, position)
            if found is not None:
                trees[number] = _punctured(tree, found, position)
                if number < len(trees) - 1:
                    return KeyForest(self.index_key, tuple(trees))
                break
        trees.append(_fresh_tree())
        return KeyForest(self.index_key, tuple(trees))


def _fresh_tree() -> Tree:
    return {(0, 0): secrets.token_bytes(SEED_BYTES)}


def _ancestor(tree: Tree, position: int) -> Node | None:
    """Return the highest node of a tree from which a leaf can be computed."""
    for level in range(DEPTH + 1):
        node = level, position >> (DEPTH - level)
        if node in tree:
            return node
    return None


def _descend(seed: bytes, level: int, position: int) -> bytes:
    for below in range(DEPTH - level - 1, -1, -1):
        children = sha256(seed).digest()
        seed = children[SEED_BYTES:] if position >> below & 1 else children[:SEED_BYTES]
    return seed


def _punctured(tree: Tree, found: Node, position: int) -> Tree:
    """Return a tree with the siblings of the path to a leaf in place of its ancestor."""
    level, prefix = found
    seed = tree[found]
    kept = {
        node: each
        for node, each in tree.items()
        if node[0] < level or node[1] >> (node[0] - level) != prefix
    }
    for deeper in range(level + 1, DEPTH + 1):
        children = sha256(seed).digest()
        halves = children[:SEED_BYTES], children[SEED_BYTES:]
        bit = position >> (DEPTH - deeper) & 1
        kept[deeper, position >> (DEPTH - deeper) ^ 1] = halves[1 - bit]
        seed = halves[bit]
    return kept


def encode_nodes(tree: Tree) -> bytes:
    """Return the nodes of a tree as bytes."""
    return b"".join(
        level.to_bytes(1) + prefix.to_bytes(_PREFIX_BYTES) + seed
        for (level, prefix), seed in sorted(tree.items())
    )


def decode_nodes(data: bytes) -> dict[Node, bytes]:
    """Return what ``encode_nodes`` was given. Raises ``ValueError`` for anything else."""
    if len(data) % _NODE_BYTES:
        raise ValueError("nodes of another length")
    tree: dict[Node, bytes] = {}
    for start in range(0, len(data), _NODE_BYTES):
        level = data[start]
        prefix = int.from_bytes(data[start + 1 : start + 1 + _PREFIX_BYTES])
        if level > DEPTH or prefix >> level:
            raise ValueError("a node that no tree has")
        tree[level, prefix] = data[start + 1 + _PREFIX_BYTES : start + _NODE_BYTES]
    return tree


def merged(trees: Iterable[Tree]) -> Tree:
    """Return the nodes of parts of one tree."""
    return {node: seed for tree in trees for node, seed in tree.items()}
