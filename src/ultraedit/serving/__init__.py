"""The live server: readers each keep to one version of the weights, one writer edits meanwhile."""
