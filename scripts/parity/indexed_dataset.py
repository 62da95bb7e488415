"""Megatron-LM's indexed dataset, written from its description alone: PREFIX.bin and PREFIX.idx."""

import pathlib
import struct

import numpy

_DTYPE_CODES = {numpy.dtype("int32"): 4, numpy.dtype("uint16"): 8}


def write(prefix: pathlib.Path, documents: list[numpy.ndarray]) -> None:
    """Writes each document (token ids, int32 or uint16, all alike) as one sequence.

    PREFIX.bin holds the ids back to back, little-endian. PREFIX.idx: the magic "MMIDIDX\\0\\0", version 1 (u64), a code
    for the dtype (u8), the number of sequences and of document bounds (u64 each), the sequences' lengths (i32) and byte
    offsets (i64), then the document bounds (i64), from 0 to the number of sequences.
    """
    dtype = documents[0].dtype
    with open(f"{prefix}.bin", "wb") as binary:
        for document in documents:
            binary.write(document.astype(dtype.newbyteorder("<")).tobytes())
    lengths = numpy.array([len(document) for document in documents], dtype="<i4")
    ends = numpy.cumsum(lengths, dtype="<i8") * dtype.itemsize
    offsets = numpy.concatenate([[0], ends[:-1]]).astype("<i8")
    bounds = numpy.arange(len(documents) + 1, dtype="<i8")
    with open(f"{prefix}.idx", "wb") as index:
        index.write(b"MMIDIDX\x00\x00")
        index.write(struct.pack("<QBQQ", 1, _DTYPE_CODES[dtype], len(documents), len(bounds)))
        index.write(lengths.tobytes() + offsets.tobytes() + bounds.tobytes())


def write_random(prefix: pathlib.Path, tokens: int, vocabulary: int, seed: int = 1) -> numpy.ndarray:
    """Writes random documents of uneven lengths, `tokens` ids in all, and returns them back to back."""
    generator = numpy.random.default_rng(seed)
    ids = generator.integers(vocabulary, size=tokens, dtype=numpy.int32)
    cuts = numpy.sort(generator.choice(numpy.arange(1, tokens), size=max(1, tokens // 100), replace=False))
    write(prefix, numpy.split(ids, cuts))
    return ids
