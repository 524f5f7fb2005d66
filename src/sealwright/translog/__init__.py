"""The transparency log as pure functions: hashes, proofs, tiles, signed notes, checkpoints. Knows no entry contents."""
