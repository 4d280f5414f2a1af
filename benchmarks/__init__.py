"""Side-by-side measurements: what a call costs here, against a floor measured in the same run.

`python -m benchmarks [--quick] [--json FILE] [NAME ...]`; harness.py says how it is measured, registry.py lists what.
"""
