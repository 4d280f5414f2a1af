"""Side-by-side measurements: what a call costs here, against a floor measured in the same run.

`python -m benchmarks [--quick] [--json FILE] [NAME ...]`; README.md of this folder says what each figure means.
"""
