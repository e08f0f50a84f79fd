"""Decompositions that do not fail where there is a solution.

fp32 solvers are quick, and some fail on matrices of low rank: of 140 matrices of products whose rows were mostly zero,
or spanned 45 orders of magnitude, MKL's eigenvalue solver refused 113 and gave NaN for 3, and on GPUs they fail or give
NaN as well (pytorch issues 94772 and 105359).  In fp64 none failed.  So fp32 is tried on processors, its result is
looked at, and fp64 takes over where it is none.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LinAlgError = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]


def eigen(
    matrix: Float[Tensor, "n n"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n n"]]:
    """Eigenvalues, the smallest first, and eigenvectors (columns) of a symmetric matrix, in its dtype.

    Raises LinAlgError for a matrix with an entry that is not finite.
    """
    if not torch.isfinite(matrix).all():
        raise LinAlgError("a matrix with entries that are not finite has no eigenvectors.")
    if matrix.device.type == "cpu":
        found = _attempt(matrix)
        if found is not None:
            return found
    found = _attempt(matrix.double())
    if found is None:  # never seen; of a symmetric matrix singular vectors are eigenvectors
        vectors, sizes, right = torch.linalg.svd(matrix.double())
        values, order = (sizes * (vectors * right.T).sum(0).sign()).sort()
        found = values, vectors[:, order]
    return found[0].to(matrix.dtype), found[1].to(matrix.dtype)


def _attempt(
    matrix: Float[Tensor, "n n"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n n"]] | None:
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except LinAlgError:
        return None
    sound = torch.isfinite(values).all() and torch.isfinite(vectors).all()
    return (values, vectors) if sound else None
