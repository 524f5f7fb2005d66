"""The vocabulary: canonical JSON, records, digests, keys, ranges, messages, patches, errors. Pure values, no I/O."""
