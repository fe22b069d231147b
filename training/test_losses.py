"""The Gaussian sanity run: on data N(m, s2) the best network of each loss is known exactly.

Each loss, given that network, must take the value that theory gives, and no network near it may do better; a small MLP trained on
the loss must come close; and where a sampler for the sheets exists, the exact network must lead it back to N(m, s2).
"""
import math

import pytest
import torch
from torch import nn

import cld
import ddgan
import ddpm
import lsgm
import score_sde

M, S2 = -0.5, 0.3
N = 200_000


def gaussian(n=N):
    return M + math.sqrt(S2) * torch.randn(n, 1)


def e_of(mean, var, x):
    """Best guess of the noise e in x = mean x0 + sqrt(var) e."""
    return var.sqrt() * (x - mean * M) / (mean**2 * S2 + var)


TABLE = ddpm.alphas(ddpm.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2"))


def spaced(n=N, first=0.0):
    """Evenly spaced times in random order instead of random ones: less variance."""
    return (first + (1 - first) * (torch.arange(n, dtype=torch.float64) + 0.5) / n)[torch.randperm(n)]


class Case:
    """One loss: `draw(n)` fixes all random numbers, `loss(net, draw)` is the loss a picture, `best(x, t)` the exact network."""


class Ddpm(Case):
    def draw(self, n):
        return gaussian(n), (spaced(n) * 1000).long(), torch.randn(n, 1)

    def loss(self, net, draw):
        return ddpm.loss(net, *draw, TABLE)

    def best(self, x, t):
        a = TABLE[t].float().view(-1, 1)
        e = e_of(a.sqrt(), 1 - a, x)
        x0 = M + a.sqrt() * S2 / (a * S2 + 1 - a) * (x - a.sqrt() * M)
        return a.sqrt() * e - (1 - a).sqrt() * x0

    def least(self):
        # The error of v is the error of x0 over 1 - abar.
        return (ddpm.weight(TABLE) * S2 / (TABLE * S2 + 1 - TABLE)).mean().item()

    def drawn(self, net):
        return ddpm.ddim(net, torch.randn(20_000, 1), TABLE, 250, bound=100.0)


class Vp(Case):
    def draw(self, n):
        return gaussian(n), spaced(n, score_sde.T_MIN), torch.randn(n, 1)

    def loss(self, net, draw):
        return score_sde.vp_loss(net, *draw)

    def best(self, x, label):
        m, s = (part.float().view(-1, 1) for part in score_sde.vp(label.double() / 999))
        return e_of(m, s**2, x)

    def least(self):
        m, s = score_sde.vp(spaced(first=score_sde.T_MIN))
        return (m**2 * S2 / (m**2 * S2 + s**2)).mean().item()

    def drawn(self, net):
        return score_sde.vp_sample(net, torch.randn(20_000, 1), 200)


class Ve(Case):
    def draw(self, n):
        return gaussian(n), spaced(n, score_sde.T_MIN), torch.randn(n, 1)

    def loss(self, net, draw):
        return score_sde.ve_loss(net, *draw)

    def best(self, x, sigma):
        sigma = sigma.view(-1, 1)
        return -(x - M) / (S2 + sigma**2)

    def least(self):
        return (S2 / (S2 + score_sde.ve(spaced(first=score_sde.T_MIN)) ** 2)).mean().item()

    def drawn(self, net):
        return score_sde.ve_sample(net, torch.randn(20_000, 1), 60)


class Cld(Case):
    def draw(self, n):
        return gaussian(n), spaced(n, cld.T_MIN), torch.randn(n, 1), torch.randn(n, 1)

    def loss(self, net, draw):
        return cld.loss(net, *draw)

    def best(self, u, t):
        x, v = u.double().chunk(2, 1)
        t = t.double().view(-1, 1)
        sxx, sxv, svv = cld.covariance(t, S2)
        mean_x, mean_v = cld.mean(t)
        score = -(sxx * (v - mean_v * M) - sxv * (x - mean_x * M)) / (sxx * svv - sxv**2)
        sxx, sxv, svv = cld.covariance(t)
        return (-(score + v / svv) * cld.cholesky(sxx, sxv, svv)[2]).float()

    def least(self):
        t = spaced(first=cld.T_MIN)
        sxx, sxv, svv = cld.covariance(t, S2)
        l22 = cld.cholesky(*cld.covariance(t))[2]
        return (1 - l22**2 * sxx / (sxx * svv - sxv**2)).mean().item()

    def drawn(self, net):
        return cld.sscs(net, torch.randn(20_000, 1), torch.randn(20_000, 1) / 2, 300)


class Prior(Case):
    """LSGM's prior on latents N(M, S2) with the mixing at its first value."""

    logit = torch.tensor(-3.0)

    def draw(self, n):
        return gaussian(n), spaced(n), torch.randn(n, 1)

    def loss(self, net, draw):
        return lsgm.prior_loss(net, self.logit, *draw)

    def best(self, x, t):
        var = lsgm.variance(t.double()).float().view(-1, 1)
        a = torch.sigmoid(self.logit)
        return (e_of((1 - var).sqrt(), var, x) - (1 - a) * var.sqrt() * x) / a

    def least(self):
        t, z = lsgm.weighted_times(spaced())
        var = lsgm.variance(t)
        return (z * S2 / ((1 - var) * S2 + var)).mean().item()

    def drawn(self, net):
        return lsgm.prior_sample(lambda x, t: lsgm.mixed(net, self.logit, x, t), torch.randn(20_000, 1), 200)


CASES = [Ddpm(), Vp(), Ve(), Cld(), Prior()]
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: type(case).__name__)


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@by_name
def test_the_exact_network_has_the_least_loss(case):
    draw = case.draw(N)
    least = case.loss(case.best, draw).mean().item()
    assert least == pytest.approx(case.least(), rel=0.02)
    for factor, shift in ((0.95, 0.0), (1.05, 0.0), (1.0, 0.05), (1.0, -0.05)):
        assert case.loss(lambda x, t: factor * case.best(x, t) + shift, draw).mean().item() > least


@by_name
def test_the_exact_network_draws_the_data(case):
    drawn = case.drawn(case.best)
    assert drawn.mean().item() == pytest.approx(M, abs=0.02)
    assert drawn.var().item() == pytest.approx(S2, rel=0.06)


class Mlp(nn.Module):
    """Two hidden layers; time enters by a few waves, the input scaled to be of order 1."""

    def __init__(self, inputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs + 9, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x, t):
        t = t.float().view(-1, 1)
        waves = [torch.sin(2**i * math.pi * t / 2) for i in range(4)] + [torch.cos(2**i * math.pi * t / 2) for i in range(4)]
        return self.layers(torch.cat([x, (t + 1e-6).log(), *waves], 1))


@pytest.mark.parametrize("case", [Ddpm(), Vp(), Cld(), Prior()], ids=lambda case: type(case).__name__)
def test_a_small_network_learns_it(case):
    mlp = Mlp(2 if isinstance(case, Cld) else 1)
    unit = {Ddpm: 1000.0, Vp: 999.0}.get(type(case), 1.0)

    def net(x, t):
        return mlp(x, t / unit)

    optimiser = torch.optim.Adam(mlp.parameters(), 3e-3)
    count = 1500
    for k in range(count):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - k / count)
        optimiser.zero_grad()
        case.loss(net, case.draw(512)).mean().backward()
        optimiser.step()
    with torch.no_grad():
        draw = case.draw(N)
        ours, first, best = (case.loss(f, draw).mean().item() for f in (net, lambda x, t: 0 * x[:, :1], case.best))
    assert ours >= best * (1 - 1e-6)
    assert ours - best < 0.05 * (first - best) + 0.03 * best


def test_cld_covariance_is_the_solution_of_its_equation():
    """dS/dt = F S + S F' + diag(0, 2 beta), from diag(0, 0.01), by Runge-Kutta."""
    f = torch.tensor([[0.0, cld.M_INV * cld.BETA], [-cld.BETA, -cld.M_INV * cld.BETA]], dtype=torch.float64)
    noise = torch.diag(torch.tensor([0.0, 2 * cld.BETA], dtype=torch.float64))

    def slope(s):
        return f @ s + s @ f.T + noise

    s, h = torch.diag(torch.tensor([0.0, cld.V0], dtype=torch.float64)), 1e-4
    for _ in range(1000):
        k1 = slope(s)
        k2 = slope(s + h / 2 * k1)
        k3 = slope(s + h / 2 * k2)
        k4 = slope(s + h * k3)
        s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    ours = cld.covariance(torch.tensor(0.1, dtype=torch.float64), eps=0.0)
    for a, b in zip(ours, (s[0, 0], s[0, 1], s[1, 1])):
        assert a.item() == pytest.approx(b.item(), rel=1e-9)


def test_ddgan_pairs():
    """A generator that draws x0 from its exact posterior makes fake pairs with the moments of the real ones, at every t."""
    tables = ddgan.Tables()
    for i in range(ddgan.T):
        t = torch.full((N,), i)
        x_t, x_next = tables.pair(gaussian(), t)
        kept = (tables.before[i] * (1 - tables.beta[i])).float()
        var = kept * S2 + 1 - kept
        mean = M + kept.sqrt() * S2 / var * (x_next - kept.sqrt() * M)
        x0 = mean + (S2 * (1 - kept) / var).sqrt() * torch.randn(N, 1)
        fake = tables.posterior(x0, x_next, t)
        assert fake.mean().item() == pytest.approx(x_t.mean().item(), abs=0.01)
        real_cov, fake_cov = (torch.cov(torch.cat([x, x_next], 1).T) for x in (x_t, fake))
        assert torch.allclose(real_cov, fake_cov, atol=0.012)


def test_ddgan_losses_at_the_start():
    net = ddgan.Discriminator()
    x = torch.randn(8, 1, 32, 32)
    t = torch.zeros(8, dtype=torch.long)
    assert ddgan.discriminator_loss(net, x, -x, t, x).item() == pytest.approx(2 * math.log(2), abs=1e-4)
    # R1 of a linear D is the square of its gradient.
    assert ddgan.penalty(lambda a, t, b: 3 * a.flatten(1).sum(1), x, t, x).item() == pytest.approx(9 * 1024, rel=1e-4)


def test_vae_terms():
    """KL of a sample averages to the closed form; the reconstruction at logits 0 is 784 ln 2."""
    mu, log_sig = 0.4, -0.7
    noise = torch.randn(N, 1, 1, 1)
    eps = mu + math.exp(log_sig) * noise
    closed = 0.5 * (math.exp(2 * log_sig) + mu**2 - 1) - log_sig
    assert lsgm.kl(eps, torch.full_like(eps, log_sig), noise).mean().item() == pytest.approx(closed, rel=0.02)
    x = torch.rand(2, 1, 32, 32) * 2 - 1
    assert lsgm.reconstruction(torch.zeros_like(x), x)[0].item() == pytest.approx(784 * math.log(2), rel=1e-5)
