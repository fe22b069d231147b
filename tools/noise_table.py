"""Writes src/kernels/noise_table.rs: the inverse normal distribution as integers.

Run once (`python3 tools/noise_table.py`, needs mpmath); the output is committed and
nothing recomputes it. Row 32 k + s covers tail probabilities t / 2^33 with
t = 2^k (1 + (s + 1 - g) / 32), g in (0, 1]; the cubic in g interpolates at Chebyshev
nodes. c0 is in units of 2^-29, c1..c3 in units of 2^-35; all are positive.
"""
from mpmath import mp, mpf, erfc, sqrt, log, exp, pi, cos, matrix, lu_solve, nint

mp.dps = 40


def quantile(u):
    """x with P(Z > x) = u."""
    if u == mpf(1) / 2:
        return mpf(0)
    x = sqrt(-2 * log(u)) - 1
    x = max(x, mpf("0.1"))
    for _ in range(60):
        q = erfc(x / sqrt(2)) / 2
        # Newton on log q, which is concave: safe in the tail.
        step = log(q / u) * q / (exp(-x * x / 2) / sqrt(2 * pi))
        x += step
        if abs(step) < mpf(10) ** -32:
            break
    return x


def fit(k, s, powers):
    n = len(powers)
    rows, rhs = matrix(n, n), matrix(n, 1)
    for i in range(n):
        g = (1 + cos(pi * (2 * i + 1) / (2 * n))) / 2
        t = mpf(2) ** k * (1 + (s + 1 - g) / mpf(32))
        for j, p in enumerate(powers):
            rows[i, j] = g**p
        rhs[i] = quantile(t / mpf(2) ** 33)
    c = lu_solve(rows, rhs)
    out = [mpf(0)] * 4
    for j, p in enumerate(powers):
        out[p] = c[j]
    return out


rows = []
for k in range(32):
    for s in range(32):
        c = fit(k, s, [0, 1, 2, 3])
        if c[2] < 0:
            c = fit(k, s, [0, 1, 3])
        c[0] = max(c[0], mpf(0))
        row = [int(nint(c[0] * 2**29))] + [int(nint(x * 2**35)) for x in c[1:]]
        assert all(0 <= v < 2**32 for v in row), (k, s, row)
        rows.append(row)

with open("src/kernels/noise_table.rs", "w") as f:
    f.write("//! Written by `tools/noise_table.py`, which says what the numbers are. Never edit.\n\n")
    f.write("/// Cubics of the inverse normal distribution, 32 octaves of 32 segments.\n")
    f.write("#[rustfmt::skip]\npub static TABLE: [[u32; 4]; 1024] = [\n")
    for r in rows:
        f.write("    [" + ", ".join(str(v) for v in r) + "],\n")
    f.write("];\n")
