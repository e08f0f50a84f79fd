"""The solve: dual equals primal equals the dense formula, with and without a metric."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ultraedit.core.metric import DenseMetric, SketchMetric, text_metric
from ultraedit.core.solve import DualSolver, PrimalSolver, solver

SIZES = st.integers(1, 9)
RIDGES = st.sampled_from([0.1, 1.0, 10.0])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def dense_metric(keys: Tensor, weight: float) -> Tensor:
    """M = I + weight * keys' keys / m"""
    return torch.eye(keys.shape[1], dtype=keys.dtype) + weight * keys.T @ keys / keys.shape[0]


def dense_solution(H: Tensor, V: Tensor, ridge: float, metric: Tensor | None = None) -> Tensor:
    """(H'H + ridge M)^-1 H'V"""
    if metric is None:
        metric = torch.eye(H.shape[1], dtype=H.dtype)
    return torch.linalg.solve(H.T @ H + ridge * metric, H.T @ V)


@given(st.integers(0, 10**6), SIZES, SIZES, SIZES, RIDGES)
@settings(deadline=None)
def test_dual_equals_primal_equals_dense(seed, n, d_in, d_out, ridge) -> None:
    H, V = random(seed, n, d_in), random(seed + 1, n, d_out)
    expected = dense_solution(H, V, ridge)
    for made in (DualSolver(H, ridge), PrimalSolver(H, ridge), solver(H, ridge)):
        pair = made.solve(V)
        assert pair.left.equal(H)
        assert pair.right.shape == (n, d_out)
        close(pair.delta(), expected)


@given(st.integers(0, 10**6), SIZES, SIZES, SIZES, RIDGES)
@settings(deadline=None)
def test_both_ways_give_the_same_rows(seed, n, d_in, d_out, ridge) -> None:
    """Not only the product: row i is the share of answer token i whichever system was solved."""
    H, V = random(seed, n, d_in), random(seed + 1, n, d_out)
    close(PrimalSolver(H, ridge).solve(V).right, DualSolver(H, ridge).solve(V).right, 1e-8)


def test_the_smaller_system_is_solved() -> None:
    assert isinstance(solver(random(0, 3, 5), 1.0), DualSolver)
    assert isinstance(solver(random(0, 5, 3), 1.0), PrimalSolver)
    metric = DenseMetric(torch.eye(3, dtype=torch.float64))
    assert isinstance(solver(random(0, 5, 3), 1.0, metric), DualSolver)


@given(st.integers(0, 10**6), SIZES, SIZES, SIZES)
@settings(deadline=None)
def test_low_rank_pair_acts_like_the_dense_update(seed, n, d_in, d_out) -> None:
    H, V, x = random(seed, n, d_in), random(seed + 1, n, d_out), random(seed + 2, 4, d_in)
    pair = solver(H, 1.0).solve(V)
    close((x @ pair.left.T) @ pair.right, x @ pair.delta())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e300])
def test_a_non_finite_update_is_seen_without_forming_it(bad: float) -> None:
    H, V = random(1, 3, 4), random(2, 3, 2)
    assert solver(H, 1.0).solve(V).is_finite()
    V[1, 1] = bad
    assert not solver(H.float(), 1.0).solve(V.float()).is_finite()


# -- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [1, 3, 7, 8, 20])
@pytest.mark.parametrize("weight", [0.5, 100.0])
@pytest.mark.parametrize("dense_limit", [8, 7], ids=["dense", "sketch"])
def test_apply_inverse_equals_the_dense_inverse(m: int, weight: float, dense_limit: int) -> None:
    """Fewer sample rows than dimensions, as many, and more; a sketch of full rank is exact.  In fp32."""
    keys, H = random(m, m, 8), random(99, 5, 8)
    metric = text_metric(keys.float(), weight, dense_limit, rank=20)
    assert isinstance(metric, DenseMetric if dense_limit == 8 else SketchMetric)
    expected = H @ torch.linalg.inv(dense_metric(keys, weight))
    close(metric.apply_inverse(H.float()).double(), expected, 2e-5)


@pytest.mark.parametrize("m", [5, 30])
def test_a_sketch_keeps_the_strongest_directions(m: int) -> None:
    width, rank = 8, 3
    keys, H = random(m, m, width), random(99, 5, width)
    values, vectors = torch.linalg.eigh(keys.T @ keys / m)
    strongest = (vectors[:, -rank:] * values[-rank:]) @ vectors[:, -rank:].T
    expected = H @ torch.linalg.inv(torch.eye(width, dtype=keys.dtype) + 10.0 * strongest)
    cut = text_metric(keys.float(), 10.0, dense_limit=4, rank=rank)
    assert isinstance(cut, SketchMetric)
    assert cut.rows.shape == (rank, width)
    close(cut.apply_inverse(H.float()).double(), expected, 2e-5)


@pytest.mark.parametrize("dense_limit", [8, 7], ids=["dense", "sketch"])
def test_repeated_text_does_not_break_the_estimate(dense_limit: int) -> None:
    """The sample's Gram matrix is singular, and its zero directions must not become noise."""
    keys, H = random(1, 2, 8), random(99, 5, 8)
    expected = H @ torch.linalg.inv(dense_metric(keys, 50.0))
    for times in (3, 12):
        metric = text_metric(keys.repeat(times, 1).float(), 50.0, dense_limit, rank=4)
        close(metric.apply_inverse(H.float()).double(), expected, 2e-5)


@pytest.mark.parametrize("dense_limit", [8, 7], ids=["dense", "sketch"])
def test_absorbing_keys_adds_them_and_leaves_the_old_metric(dense_limit: int) -> None:
    keys, more, H = random(1, 4, 8), random(2, 3, 8), random(3, 5, 8)
    old = text_metric(keys.float(), 2.0, dense_limit, rank=20)
    before = old.apply_inverse(H.float())
    new = old.absorb(more.float())
    expected = H @ torch.linalg.inv(dense_metric(keys, 2.0) + more.T @ more)
    close(new.apply_inverse(H.float()).double(), expected, 2e-5)
    assert old.apply_inverse(H.float()).equal(before)


@pytest.mark.parametrize("dense_limit", [8, 7], ids=["dense", "sketch"])
def test_keys_fade_with_the_rows_that_follow_and_text_does_not(dense_limit: int) -> None:
    """A sketch fades where it is cut: of rank 4, with three rows a turn, in every turn."""
    keys, H, horizon = random(1, 2, 8), random(9, 5, 8), 3.0
    base = metric = text_metric(keys.float(), 5.0, dense_limit, rank=4)
    text = expected = dense_metric(keys, 5.0)
    plane = random(2, 2, 8)  # text and edits span four directions: nothing is cut off
    metric = metric.absorb((random(3, 2, 2) @ plane).float())
    expected = expected + (random(3, 2, 2) @ plane).T @ (random(3, 2, 2) @ plane)
    keep = math.exp(-3 / horizon)
    for turn in range(4, 8):
        rows = random(turn, 3, 2) @ plane
        metric = metric.absorb(rows.float(), base, horizon)  # type: ignore[arg-type]
        if isinstance(metric, SketchMetric):
            assert metric.rows.shape[0] == 4  # it was cut
        expected = text + keep * (expected - text) + rows.T @ rows
    found = metric.apply_inverse(H.float()).double()
    close(found, H @ torch.linalg.inv(expected), 2e-4)
    unfaded = base
    for turn in range(4, 8):
        unfaded = unfaded.absorb((random(turn, 3, 2) @ plane).float())
    assert (unfaded.apply_inverse(H.float()) - found).abs().max() > 1e-3


def test_a_sketch_does_not_grow_and_follows_the_strong_directions() -> None:
    """40 turns of keys in a 3-dimensional subspace, and a little noise that it may forget."""
    width, rank = 10, 4
    subspace = random(1, 3, width)
    sketch = SketchMetric(torch.zeros(0, width, dtype=torch.float64), rank)
    total = torch.eye(width, dtype=torch.float64)
    for turn in range(40):
        H = random(turn, 5, 3) @ subspace + 1e-4 * random(100 + turn, 5, width)
        sketch, total = sketch.absorb(H), total + H.T @ H
        assert sketch.rows.shape[0] <= 2 * rank
    x = random(7, 4, 3) @ subspace
    close(sketch.apply_inverse(x), x @ torch.linalg.inv(total), 1e-4)


@given(st.integers(0, 10**6), SIZES, SIZES, RIDGES)
@settings(deadline=None)
def test_solve_with_a_metric_equals_the_dense_formula(seed, n, d_out, ridge) -> None:
    d_in, weight = 6, 20.0
    keys, H, V = random(seed, 11, d_in), random(seed + 1, n, d_in), random(seed + 2, n, d_out)
    metric = dense_metric(keys, weight)
    found = solver(H, ridge, DenseMetric(metric)).solve(V)
    close(found.delta(), dense_solution(H, V, ridge, metric))


@given(st.integers(0, 10**6), st.lists(SIZES, min_size=2, max_size=4))
@settings(deadline=None)
def test_turn_by_turn_with_history_equals_all_at_once(seed, sizes) -> None:
    """Recursive least squares, at ridge 1: each turn solves for what is still missing (the innovation)."""
    d_in, d_out = 6, 3
    first = DenseMetric(dense_metric(random(seed, 9, d_in), 2.0))
    turns = [
        (random(seed + 2 * k + 1, n, d_in), random(seed + 2 * k + 2, n, d_out))
        for k, n in enumerate(sizes)
    ]
    total, metric = torch.zeros(d_in, d_out, dtype=torch.float64), first
    for H, wanted in turns:
        total = total + solver(H, 1.0, metric).solve(wanted - H @ total).delta()
        metric = metric.absorb(H)
    H, wanted = (torch.cat(parts) for parts in zip(*turns, strict=True))
    close(total, dense_solution(H, wanted, 1.0, first.matrix), 1e-8)


def test_a_metric_keeps_ordinary_outputs_in_place() -> None:
    """What it is for: the same turn moves the outputs of ordinary keys less."""
    keys, H, V = random(1, 4, 6).float(), random(2, 3, 6).float(), random(3, 3, 4).float()
    free = solver(H, 1.0).solve(V).delta()
    kept = solver(H, 1.0, text_metric(keys, 100.0)).solve(V).delta()
    assert (keys @ kept).norm() < 0.2 * (keys @ free).norm()
