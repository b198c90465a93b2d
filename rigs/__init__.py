"""Long trials of what Borough promises: `python -m rigs NAME --count N --seed S [--out FILE]`.

A rig acts from outside the product's process and appends every episode to a file. Run again, it goes
on where it was. See docs/reference/rigs.md.
"""
