"""Runs a model for editing.  `base` says what a runner does, `local` is the one for a model on one device."""
