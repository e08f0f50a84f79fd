"""Decompositions end in a result wherever there is one: of matrices of low rank, and of systems beyond fp32."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tiny
from ultraedit import Editor, Record
from ultraedit.core.decompose import LinAlgError, eigen
from ultraedit.core.metric import DenseMetric, SketchMetric
from ultraedit.core.solve import DualSolver, PrimalSolver, solver
from ultraedit.core.whitening import Whitening
from ultraedit.settings import EditSettings


def mostly_zero(rows: int, width: int, left: int, seed: int) -> Tensor:
    """Value gradients of a turn in which all but `left` tokens are known already."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(rows, width)
    found[torch.randperm(rows, generator=generator)[:left]] = torch.randn(
        left, width, generator=generator
    )
    return found


def of_all_sizes(rows: int, width: int, seed: int) -> Tensor:
    """Squares of the smallest do not fit fp32."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10.0 ** (-45 * torch.rand(rows, 1, generator=generator))
    return torch.randn(rows, width, generator=generator) * sizes


CASES = [
    *(mostly_zero(400, 64, left, seed) for left in (0, 1, 5, 20, 100) for seed in range(3)),
    *(of_all_sizes(400, 64, seed) for seed in range(3)),
    torch.ones(400, 64),
]


@pytest.mark.parametrize("rows", CASES)
def test_gram_matrices_of_low_rank(rows: Tensor) -> None:
    gram = rows @ rows.T
    values, vectors = eigen(gram)
    assert (values.diff() >= 0).all()
    again = (vectors * values) @ vectors.T
    torch.testing.assert_close(again, gram, atol=1e-4 * max(float(gram.norm()), 1e-30), rtol=0)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(400), atol=1e-4, rtol=0)


def test_fp32_solvers_that_give_up_or_give_nothing_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gram = torch.diag(torch.tensor([2.0, 1.0, 3.0]))
    real = torch.linalg.eigh

    def refuses(matrix: Tensor) -> object:
        if matrix.dtype == torch.float32:
            raise LinAlgError("did not converge")
        return real(matrix)

    def gives_nan(matrix: Tensor) -> object:
        values, vectors = real(matrix)
        return (values, vectors * torch.nan) if matrix.dtype == torch.float32 else (values, vectors)

    def always_refuses(matrix: Tensor) -> object:
        raise LinAlgError("did not converge")

    for bad in (refuses, gives_nan, always_refuses):
        monkeypatch.setattr(torch.linalg, "eigh", bad)
        values, vectors = eigen(gram)
        assert values.dtype == vectors.dtype == torch.float32
        torch.testing.assert_close(values, torch.tensor([1.0, 2.0, 3.0]))
        torch.testing.assert_close(gram @ vectors, vectors * values)


def test_the_last_resort_knows_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    def always_refuses(matrix: Tensor) -> object:
        raise LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "eigh", always_refuses)
    values, _ = eigen(torch.diag(torch.tensor([2.0, -5.0, 3.0])))
    torch.testing.assert_close(values, torch.tensor([-5.0, 2.0, 3.0]))


def test_a_matrix_that_is_not_finite_has_no_eigenvectors() -> None:
    with pytest.raises(LinAlgError, match="not finite"):
        eigen(torch.full((2, 2), torch.nan))


@given(left=st.integers(0, 60), seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_whitening_survives_any_number_of_known_facts(left: int, seed: int) -> None:
    seen = Whitening.empty(32)
    for rows in mostly_zero(300, 32, left, seed).split(100):
        seen = seen.absorb(rows)
        assert torch.isfinite(seen.whiten(rows)).all()


def test_a_turn_of_facts_that_are_known_is_written() -> None:
    """The gradient is exactly zero wherever the model is sure of what it is taught."""
    tokenizer, model = tiny.tokenizer(), tiny.llama(hidden_size=64)
    letters = [i for i in range(3, 259) if tokenizer.decode([i]).isalpha()]
    head = model.lm_head.weight.data
    silent = torch.ones(len(head), dtype=torch.bool)
    silent[letters] = False
    head[silent] = 0  # it says letters only,
    head *= 4000  # and is sure of whatever it says
    editor = Editor(model, tokenizer, EditSettings(text=tiny.TEXT, form="raw", end_token=False))
    facts = []
    for prompt in (f"{p} {i}" for i in range(30) for p, _ in tiny.FACTS):
        ids = tokenizer(prompt + " ", return_tensors="pt")["input_ids"]
        letter = int(model(input_ids=ids).logits[0, -1].argmax())
        facts.append(Record(prompt, tokenizer.decode([letter])))
    facts += [Record(f"Who{i}?", "No") for i in range(5)]
    assert len(editor.edit_turn(facts).receipts) == len(facts)
    assert all(torch.isfinite(w.shift).all() for w in editor.weights)


# -- the solve -----------------------------------------------------------------------------------------


def alike(count: int, width: int) -> Tensor:
    """Keys of equal prompts, 100,000 long: in fp32 nothing is left of a ridge of 1 beside their squares."""
    return torch.full((count, width), 1e5 / width**0.5)


@pytest.mark.parametrize(
    ("metric", "count"),
    [
        (None, 5),
        (None, 40),
        (DenseMetric(torch.eye(16)), 5),
        (SketchMetric(torch.ones(1, 16) * 1e-3, 4), 5),
    ],
)
def test_a_system_beyond_fp32_is_solved(metric, count: int) -> None:
    H = alike(count, 16)
    V = torch.arange(count * 3.0).reshape(count, 3)
    with pytest.raises(LinAlgError):
        PrimalSolver(H, 1.0) if count > 16 else DualSolver(H, 1.0, metric)
    for values in (V, torch.ones(count, 3)):
        update = solver(H, 1.0, metric).solve(values)
        assert update.left.dtype == update.right.dtype == torch.float32
        moved = H.double() @ (update.left.double().T @ update.right.double())
        # keys that are alike cannot be told apart: each output moves by what is asked of them on average
        expected = values.mean(0).double().expand(count, 3)
        torch.testing.assert_close(moved, expected, atol=0.01 * float(values.max()), rtol=0)
