"""Shrunk whitening: exact and mergeable while its directions are few, and the inverse root it says it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ultraedit.core import whitening
from ultraedit.core.whitening import CHUNK, RANK, SHRINK, Whitening


def slow_whiten(seen: Tensor, rows: Tensor, rank: int = RANK) -> Tensor:
    """rows ((1 - s) C + s mean(diag C) I)^-1/2 with all but `rank` eigenvalues of C put at their mean, scaled."""
    seen = seen.double()
    width = seen.shape[1]
    values, vectors = torch.linalg.eigh(seen.T @ seen / len(seen))
    if rank < width:
        values[: width - rank] = values[: width - rank].mean()
    shrunk = (1 - SHRINK) * values + SHRINK * values.mean()
    root = vectors @ torch.diag(shrunk**-0.5) @ vectors.T
    scale = (width / (values / shrunk).sum()).sqrt()
    return scale * rows.double() @ root


def gradients(count: int, width: int, seed: int = 0) -> Tensor:
    """Rows with a few large directions, as value gradients have them."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(0, -3, width)
    turned = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    return torch.randn(count, width, generator=generator) * sizes @ turned


@st.composite
def batches(draw: st.DrawFn) -> list[Tensor]:
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=6))
    seed = draw(st.integers(0, 2**31))
    size = draw(st.sampled_from([1e-6, 1.0, 1e4]))
    return [gradients(n, 5, seed + k) * size for k, n in enumerate(sizes)]


@given(batches(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_merging_in_any_order_and_grouping_agrees(parts, random) -> None:
    whole = torch.cat(parts)
    pool = [Whitening.of(rows) for rows in parts]
    while len(pool) > 1:
        random.shuffle(pool)
        pool.append(pool.pop().merge(pool.pop()))
    found = pool[0]
    assert found.count == len(whole)
    assert float(found.energy) == pytest.approx(float(whole.double().square().sum()), rel=1e-12)
    outer = whole.T @ whole
    tolerance = 1e-5 * float(outer.trace())
    torch.testing.assert_close(found.rows.T @ found.rows, outer, atol=tolerance, rtol=0)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_it_is_the_shrunk_inverse_root(count: int) -> None:
    """With fewer rows than dimensions, as after one edit, and with more."""
    rows = gradients(count, 12)
    found = Whitening.of(rows).whiten(rows)
    torch.testing.assert_close(found.double(), slow_whiten(rows, rows), atol=2e-4, rtol=2e-4)
    assert float(found.square().mean()) == pytest.approx(1.0, rel=1e-3)


def test_a_row_it_has_not_seen_is_whitened_too() -> None:
    rows, other = gradients(30, 12), torch.randn(4, 12)
    found = Whitening.of(rows).whiten(other)
    torch.testing.assert_close(found.double(), slow_whiten(rows, other), atol=1e-2, rtol=2e-3)


def test_beyond_its_rank_directions_share_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "RANK", 4)
    rows = gradients(200, 16)
    seen = Whitening.of(rows)
    assert seen.rows.shape == (4, 16)
    expected = slow_whiten(rows, rows, rank=4)
    torch.testing.assert_close(seen.whiten(rows).double(), expected, atol=2e-3, rtol=1e-3)
    parts = Whitening.empty(16)
    for part in rows.split(20):  # cut again and again
        parts = parts.merge(Whitening.of(part))
    drift = (parts.whiten(rows).double() - expected).norm() / expected.norm()
    assert drift < 0.05


def test_more_rows_than_a_chunk() -> None:
    rows = gradients(CHUNK + 50, 8)
    found = Whitening.of(rows)
    assert found.count == CHUNK + 50
    expected = slow_whiten(rows, rows[:9])
    torch.testing.assert_close(found.whiten(rows[:9]).double(), expected, atol=1e-3, rtol=1e-3)


def test_large_directions_come_down_and_small_ones_are_not_blown_up() -> None:
    sizes = torch.tensor([30.0, 1.0, 1e-9])
    rows = torch.eye(3).repeat(50, 1) * sizes
    before = sizes / sizes.square().mean().sqrt()
    after = Whitening.of(rows).whiten(torch.diag(sizes)).diagonal()
    assert after[0] / after[1] < before[0] / before[1] / 2
    assert after[2] < 1e-6


def test_size_of_the_gradients_does_not_matter() -> None:
    rows = gradients(20, 6)
    for factor in (1e-25, 1e-8, 1e5, 1e25):
        scaled = Whitening.of(rows * factor).whiten(rows * factor)
        torch.testing.assert_close(scaled, Whitening.of(rows).whiten(rows), atol=1e-3, rtol=1e-3)


def test_directions_of_no_size() -> None:
    """Rows that are 0 or there twice leave kept directions that are 0 to the bit, or rounding."""
    some = gradients(20, 200)
    rows = torch.cat([some, torch.zeros(30, 200), some, torch.eye(200)[:1] * 1e-20])
    found = Whitening.of(rows).whiten(some)
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), slow_whiten(rows, some), atol=1e-3, rtol=1e-2)


def test_nothing_and_zeros() -> None:
    nothing = Whitening.empty(3)
    some = Whitening.of(gradients(5, 3))
    assert nothing.merge(nothing).count == 0
    assert Whitening.of(torch.zeros(0, 3)).count == 0
    assert nothing.merge(some).count == 5
    zeros = torch.zeros(4, 3)
    assert Whitening.of(zeros).whiten(zeros).eq(0).all()
    assert Whitening.of(zeros).merge(some).whiten(torch.ones(1, 3)).isfinite().all()


def test_merge_leaves_its_operands_alone() -> None:
    a, b = Whitening.of(gradients(3, 4)), Whitening.of(gradients(4, 4, seed=1))
    kept = (a.count, a.energy.clone(), a.rows.clone())
    a.merge(b)
    assert a.count == kept[0]
    assert a.energy.equal(kept[1])
    assert a.rows.equal(kept[2])
