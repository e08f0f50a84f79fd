"""Other ways to edit, each small, for comparison only: benchmarks run them beside the presets, nothing else does."""
