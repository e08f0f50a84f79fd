"""Pure maths on tensors: statistics, metrics, values, the solve.

Knows nothing of files, tokenizers or transformers.  Runs where its input lives.
"""
