"""The figures of docs/performance.md: ours and what stands beside it, in one run, in turn."""
