"""The mean field against one written out pixel by pixel, in probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autolabel_mal.mean_field import affinities, mean_field, standardised

CEILING = 0.9


def naive(first: np.ndarray, colours: np.ndarray, inside: np.ndarray, *, zeta: float, iterations: int) -> np.ndarray:
    """One picture: two labels, energies added over the 3x3 neighbourhood, normalised, as the equation says."""
    height, width = first.shape

    def bounded(p: np.ndarray) -> np.ndarray:
        return np.where(inside > 0, p.clip(1 - CEILING, CEILING), 1 - CEILING)

    field = bounded(first)
    for _ in range(iterations):
        updated = np.zeros_like(field)
        for y in range(height):
            for x in range(width):
                energy = [0.0, 0.0]
                for v in range(max(0, y - 1), min(height, y + 2)):
                    for u in range(max(0, x - 1), min(width, x + 2)):
                        distance = ((colours[:, y, x] - colours[:, v, u]) ** 2).sum()
                        weight = math.exp(-distance / (2 * zeta**2))
                        energy[0] -= weight * math.log(1 - field[v, u])
                        energy[1] -= weight * math.log(field[v, u])
                inner, outer = math.exp(-energy[1]), math.exp(-energy[0])
                updated[y, x] = inner / (inner + outer)
        field = bounded(updated)
    return field


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_agrees_with_the_equation_written_out(iterations: int) -> None:
    rng = np.random.default_rng(3)
    first, colours = rng.uniform(0.02, 0.98, (2, 6, 5)), rng.normal(size=(2, 3, 6, 5)) * 0.3
    inside = (rng.uniform(size=(2, 6, 5)) > 0.3).astype(float)
    found = mean_field(
        *(torch.from_numpy(value) for value in (first, colours, inside)),
        zeta=0.4,
        kernel=3,
        iterations=iterations,
        ceiling=CEILING,
    )
    for index in range(2):
        wanted = naive(first[index], colours[index], inside[index], zeta=0.4, iterations=iterations)
        np.testing.assert_allclose(found[index].numpy(), wanted, atol=1e-9)


def test_labels_spread_over_one_colour_and_stop_at_its_edge() -> None:
    colours = torch.zeros(1, 3, 9, 9)
    colours[:, :, :, 5:] = 2.0
    first = torch.full((1, 9, 9), 0.5)
    first[:, 3:6, 1:4] = 0.9
    first[:, :, 5:] = 0.4
    settled = mean_field(first, colours, torch.ones(1, 9, 9), zeta=0.4, kernel=3, iterations=20, ceiling=CEILING)
    assert (settled[:, :, :5] > 0.5).all()
    assert (settled[:, :, 5:] < 0.5).all()


def test_nothing_is_found_outside_the_box_or_in_an_empty_one() -> None:
    first = torch.full((1, 4, 4), 0.99)
    settled = mean_field(
        first, torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4), zeta=0.4, kernel=3, iterations=5, ceiling=CEILING
    )
    torch.testing.assert_close(settled, torch.full_like(first, 1 - CEILING))


def test_neighbours_beyond_the_edge_do_not_count() -> None:
    weights = torch.stack(affinities(torch.zeros(1, 3, 3, 4), zeta=0.1, kernel=3))
    counts = weights.sum(0)[0]
    assert counts.tolist() == [[4, 6, 6, 4], [6, 9, 9, 6], [4, 6, 6, 4]]


def test_colours_are_averaged_over_areas_and_standardised() -> None:
    crops = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    crops[:, :, 2:] = 200
    colours = standardised(crops, 2)
    assert colours.shape == (1, 3, 2, 2)
    assert colours[0, 0].tolist() == [[pytest.approx(-1, abs=0.02), pytest.approx(1, abs=0.02)]] * 2
    assert standardised(torch.full((1, 4, 4, 3), 7, dtype=torch.uint8), 2).abs().max() == 0
