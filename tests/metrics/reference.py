"""What torch-fidelity 0.4.0 and prdc 0.2 say of features made by a formula: the numbers of `src/metrics/tests/`.

    python tests/metrics/reference.py        prints the constants of `reference.rs`
"""
import numpy as np
import prdc
from torch_fidelity import metric_fid, metric_kid


def word(which, row, column, draw):
    """A 32-bit hash, as `features` in the test counts it."""
    h = (which * 0x9E3779B1 + row * 0x85EBCA77 + column * 0xC2B2AE3D + draw * 0x27D4EB2F) & 0xFFFFFFFF
    for _ in range(2):
        h ^= h >> 15
        h = h * 0x2C1B3C6D & 0xFFFFFFFF
        h ^= h >> 12
    return h


def features(which, rows, columns, spread=1.0, shift=0.0):
    """Sums of four uniform numbers, neighbours correlated: near to normal, and the same in any language."""
    z = np.zeros((rows, columns + 1))
    for i in range(rows):
        for j in range(columns + 1):
            z[i, j] = sum((word(which, i, j, k) >> 8) / 16777216.0 for k in range(4)) - 2.0
    return ((z[:, 1:] + 0.5 * z[:, :-1]) * spread + shift).astype(np.float32)


def numbers(a, b, k):
    stats = [metric_fid.fid_features_to_statistics(__import__("torch").from_numpy(x.astype(np.float64))) for x in (a, b)]
    frechet = metric_fid.fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    x, y = (v.astype(np.float64) for v in (a, b))
    kernel = lambda x, y: metric_kid.kernel_poly(x, y, kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1.0)
    m = min(len(x), len(y))
    mmd = lambda x, y: metric_kid.mmd2(kernel(x, x), kernel(x, y), kernel(y, y))
    # Torch-fidelity's loop over subsets, which are here runs of 50 rows.
    subsets = [mmd(x[s : s + 50], y[s : s + 50]) for s in range(0, m - 49, 25)]
    manifold = prdc.compute_prdc(a, b, k)
    return dict(frechet=frechet, kernel=mmd(x[:m], y[:m]), mean=np.mean(subsets), std=np.std(subsets), **manifold)


CASES = [
    ("near", dict(which=1, rows=300, columns=24), dict(which=2, rows=240, columns=24, spread=1.1, shift=0.05), 5),
    ("far", dict(which=3, rows=200, columns=7), dict(which=4, rows=200, columns=7, spread=0.6, shift=0.7), 3),
    # Fewer pictures than features.
    ("few", dict(which=5, rows=60, columns=80), dict(which=6, rows=50, columns=80, spread=0.9), 4),
]

if __name__ == "__main__":
    import contextlib, io

    for name, a, b, k in CASES:
        with contextlib.redirect_stdout(io.StringIO()):
            found = numbers(features(**a), features(**b), k)
        print(name, {key: float(value) for key, value in found.items()})
