"""The benchmark: is the found rate right? docs/benchmark.md says what is measured and how."""
