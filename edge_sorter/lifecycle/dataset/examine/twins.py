"""Find pictures that show the same: equal files, and near-duplicates by perceptual hash.

Contract: pure. A hash alone is not believed: over a fixed camera two different parcels differ in few of its bits, so a
pair must also look alike cell by cell. Whatever is linked by pairs within the limits is found to be linked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, product

import numpy as np

from edge_sorter.lifecycle.dataset.examine.measure import Measured

HASH_BITS = 64
Alike = Callable[[str, str], bool]
Pair = tuple[str, str, int]
"""Two files, sorted, and how many bits of their hashes differ."""


def equal_files(digests: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return groups of files with the same sha256, each sorted."""
    same: dict[str, list[str]] = defaultdict(list)
    for file, digest in sorted(digests.items()):
        same[digest].append(file)
    return [tuple(files) for files in same.values() if len(files) > 1]


def near_duplicates(measured: Mapping[str, Measured], *, bits: int, grey: float) -> list[Pair]:
    """Return pairs that differ by at most `bits` bits of 64 and `grey` levels in every cell, sorted.

    Not every pair, but enough to link all that are linked: ten thousand pictures of an empty belt are ten thousand
    pairs, not fifty million.
    """
    by_hash: dict[int, list[str]] = defaultdict(list)
    for file, item in sorted(measured.items()):
        if item.cells is not None:
            by_hash[item.hash64].append(file)

    def alike(one: str, two: str) -> bool:
        first, second = measured[one].cells, measured[two].cells
        return first is not None and second is not None and float(np.abs(first - second).max()) <= grey

    found: list[Pair] = []
    clusters: dict[int, list[list[str]]] = {}
    for value, files in by_hash.items():
        clusters[value], links = _clustered(files, alike)
        found += [(one, two, 0) for one, two in links]
    for one, two in _candidates(sorted(by_hash), bits):
        for first, second in product(clusters[one], clusters[two]):
            link = next((pair for pair in product(first, second) if alike(*pair)), None)
            if link is not None:
                found.append((min(link), max(link), (one ^ two).bit_count()))
    return sorted(found)


def _clustered(files: list[str], alike: Alike) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Return groups of pictures that are linked by likeness, and a link for each joining."""
    clusters: list[list[str]] = []
    links = []
    for file in files:
        apart, grown = [], [file]
        for cluster in clusters:
            other = next((member for member in cluster if alike(member, file)), None)
            if other is None:
                apart.append(cluster)
            else:
                links.append((other, file))
                grown += cluster
        clusters = [*apart, grown]
    return clusters, links


def joined(pairs: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return file -> the first file of the group it is linked to, directly or through others."""
    parent: dict[str, str] = {}

    def top(file: str) -> str:
        while parent.setdefault(file, file) != file:
            parent[file] = parent[parent[file]]
            file = parent[file]
        return file

    for first, *others in pairs:
        for other in others:
            a, b = sorted((top(first), top(other)))
            parent[b] = a
    return {file: top(file) for file in sorted(parent)}


def _candidates(hashes: list[int], bits: int) -> Iterator[tuple[int, int]]:
    """Yield different hashes at most `bits` apart.

    Cut into bits + 1 bands, two such hashes agree in one band at least, so only those that share a band are compared.
    """
    bands = bits + 1
    edges = [HASH_BITS * band // bands for band in range(bands + 1)]
    seen: set[tuple[int, int]] = set()
    for low, high in pairwise(edges):
        mask = (1 << (high - low)) - 1
        buckets: dict[int, list[int]] = defaultdict(list)
        for value in hashes:
            buckets[value >> low & mask].append(value)
        for bucket in buckets.values():
            for one, two in _close(bucket, bits):
                if (one, two) not in seen:
                    seen.add((one, two))
                    yield one, two


def _close(bucket: list[int], bits: int) -> Iterator[tuple[int, int]]:
    values = np.array(bucket, dtype=np.uint64)
    for index, one in enumerate(bucket[:-1]):
        differing = np.unpackbits((values[index + 1 :] ^ values[index]).view(np.uint8).reshape(-1, 8), axis=1)
        for offset in np.flatnonzero(differing.sum(axis=1) <= bits):
            yield one, bucket[index + 1 + int(offset)]
