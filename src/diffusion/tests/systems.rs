//! Systems with samplers of their own: their processes against their equations, their samplers
//! against solutions that are known.

use super::super::cld::Cld;
use super::super::latent::LatentSde;
use super::super::sampler::{ddgan, Context, Sampler};
use super::super::system::{Ddgan, System};
use super::super::SchedulerConfig;
use crate::shape::Shape;
use serde_json::json;

const ONE: Shape = Shape::new(1, 1, 1);

fn cld() -> Cld {
    Cld { beta0: 3.0, beta1: 2.0, m_inv: 2.5, gamma: 0.1, eps: 0.0, hybrid: true, mixed_score: true }
}

/// The kernel's moments solve the linear SDE: `d Sigma = F Sigma + Sigma F^T + G`, by differences.
#[test]
fn cld_moments_solve_their_equations() {
    let p = cld();
    let f = p.friction();
    for t in [0.02, 0.3, 0.9] {
        let (h, beta) = (1e-5, p.beta(t));
        let at = |t: f64| p.covariance(t, 0.3, 0.2);
        let (s, before, after) = (at(t), at(t - h), at(t + h));
        let slope = |a: f64, b: f64| (b - a) / (2.0 * h);
        let xx = 2.0 * p.m_inv * beta * s.xv;
        let xv = p.m_inv * beta * s.vv - beta * s.xx - f * p.m_inv * beta * s.xv;
        let vv = -2.0 * beta * s.xv - 2.0 * f * p.m_inv * beta * s.vv + 2.0 * f * beta;
        assert!((slope(before.xx, after.xx) - xx).abs() < 1e-7, "xx at {t}");
        assert!((slope(before.xv, after.xv) - xv).abs() < 1e-7, "xv at {t}");
        assert!((slope(before.vv, after.vv) - vv).abs() < 1e-7, "vv at {t}");
        let l = s.cholesky();
        assert!((l.xx * l.vx - s.xv).abs() < 1e-12 && (l.vx * l.vx + l.vv * l.vv - s.vv).abs() < 1e-12);
    }
}

/// SSCS's analytic part keeps the equilibrium, `x ~ N(0, 1)`, `v ~ N(0, M)`.
#[test]
fn the_analytic_part_keeps_the_equilibrium() {
    let p = cld();
    for (t, h) in [(1.0, 0.1), (0.5, 0.3), (0.2, 0.01)] {
        let (m, c) = p.analytic(t, h, 0.0);
        let mass = 1.0 / p.m_inv;
        assert!((m[0][0].powi(2) + m[0][1].powi(2) * mass + c.xx - 1.0).abs() < 1e-12);
        assert!((m[1][0] * m[0][0] + m[1][1] * m[0][1] * mass + c.xv).abs() < 1e-12);
        assert!((m[1][0].powi(2) + m[1][1].powi(2) * mass + c.vv - mass).abs() < 1e-12);
    }
}

/// With the score of the equilibrium SSCS kicks nothing, and the flow keeps `x^2 + v^2 / M`.
#[test]
fn at_the_equilibrium_the_flow_is_a_rotation() {
    let config = json!({"beta0": 3.0, "beta1": 2.0, "m_inv": 2.5, "gamma": 0.1, "numerical_eps": 0.0,
        "denoising": false, "n_discrete_steps": 400});
    let system = System::of("CldSgm", &config, ONE).unwrap();
    let Some(System::Cld(of)) = &system else { panic!("another system") };
    let p = of.process;
    let config = SchedulerConfig { system: system.clone(), ..Default::default() };
    let program = Sampler::CldOde.program(&Context::new(&config, ONE, 400)).unwrap();
    let v = program.find_register("v").unwrap().0 as usize;
    let mut energies = Vec::new();
    let image = program.interpret(
        &Default::default(),
        |call| {
            let (of_v, of_out) = p.score(call.time);
            Ok(call.inputs[1].iter().map(|v| (-p.m_inv - of_v) * v / of_out).collect())
        },
        |draw, shape| vec![if draw == 0 { 0.8 } else { -0.6 }; shape.len()],
        |s| energies.push(s.registers[0][0].powi(2) + p.m_inv * s.registers[v][0].powi(2)),
    );
    assert!(image.unwrap()[0].is_finite());
    assert!(energies.iter().all(|e| (e - 1.0).abs() < 1e-6), "{:?}", energies.last());
}

/// The table of the reference for four steps, and what the last step is.
#[test]
fn ddgan_posteriors() {
    let of = Ddgan { steps: 4, beta_min: 0.1, beta_max: 20.0, geometric: false, nz: 4 };
    let p = ddgan::posterior(&of);
    let want = [
        (1.0, 0.0),
        (0.6657784581, 0.2015762627),
        (0.2691908479, 0.1930008680),
        (0.0578215607, 0.1118522286),
    ];
    for (p, (x0, x)) in p.iter().zip(want) {
        assert!((p.x0 - x0).abs() < 1e-6 && (p.x - x).abs() < 1e-6, "{p:?}");
    }
    assert_eq!(p[0].noise, 0.0);
    let system = System::of("DenoisingDiffusionGan", &json!({"num_timesteps": 4}), ONE).unwrap();
    let config = SchedulerConfig { system, ..Default::default() };
    let refused = Sampler::Ddgan.program(&Context::new(&config, ONE, 5)).unwrap_err().to_string();
    assert!(refused.contains("4 steps"), "{refused}");
    let refused = Sampler::Ddim.program(&Context::new(&config, ONE, 4)).unwrap_err().to_string();
    assert!(refused.contains("this model takes ddgan"), "{refused}");
    let refused = Sampler::Sscs.program(&Context::new(&config, ONE, 4)).unwrap_err().to_string();
    assert!(refused.contains("this model takes ddgan"), "{refused}");
}

/// `d var = 2 f var + g^2`, by differences, of every process.
#[test]
fn latent_variances_solve_their_equations() {
    let (beta_start, beta_end, sigma2_min, sigma2_max) = (0.1, 20.0, 3e-5, 0.999);
    for sde in [
        LatentSde::Vp { beta_start, beta_end, sigma2_0: 0.01 },
        LatentSde::SubVp { beta_start, beta_end, sigma2_0: 0.0 },
        LatentSde::Ve { sigma2_min, sigma2_max, sigma2_0: sigma2_min },
        LatentSde::Geometric { sigma2_min, sigma2_max, sigma2_0: sigma2_min },
    ] {
        for t in [0.1, 0.5, 0.9] {
            let h = 1e-5;
            let slope = (sde.variance(t + h) - sde.variance(t - h)) / (2.0 * h);
            let want = 2.0 * sde.drift(t) * sde.variance(t) + sde.diffusion2(t);
            assert!((slope - want).abs() < 1e-6 * (1.0 + want.abs()), "{sde:?} at {t}: {slope}, {want}");
            assert!((sde.variance_single(t) - sde.variance(t)).abs() < 1e-6);
        }
    }
}

/// The flow of CLD by adaptive steps, at the equilibrium: a rotation in `(x, sqrt(M) v)` by the
/// angle `beta (1 - eps) / sqrt(M)`.
#[test]
fn adaptive_steps_rotate_the_equilibrium() {
    let config = json!({"beta0": 3.0, "beta1": 2.0, "m_inv": 2.5, "gamma": 0.1, "numerical_eps": 0.0,
        "denoising": false, "sampling_method": "ode", "sampling_rtol": 1e-6, "sampling_atol": 1e-6});
    let system = System::of("CldSgm", &config, ONE).unwrap();
    let Some(System::Cld(of)) = &system else { panic!("another system") };
    assert_eq!(Sampler::of_system(system.as_ref().unwrap())[0], Sampler::Rk45);
    let (p, eps) = (of.process, of.eps);
    let config = SchedulerConfig { system: system.clone(), ..Default::default() };
    for (sampler, steps) in [(Sampler::Rk45, 1), (Sampler::CldOde, 200)] {
        let program = sampler.program(&Context::new(&config, ONE, steps)).unwrap();
        let image = program.interpret(
            &Default::default(),
            |call| {
                let (of_v, of_out) = p.score(call.time);
                Ok(call.inputs[1].iter().map(|v| (-p.m_inv - of_v) * v / of_out).collect())
            },
            |draw, shape| vec![if draw == 0 { 0.8 } else { -0.6 }; shape.len()],
            |_| {},
        );
        // Backwards in time: d(x, w)/dtau = rate (-w, x) with w = v sqrt(1 / M).
        let angle = p.m_inv.sqrt() * (p.integral(1.0) - p.integral(eps));
        let want = 0.8 * angle.cos() + 0.6 * angle.sin();
        let got = image.unwrap()[0];
        assert!((got - want).abs() < 5e-5, "{}: {got}, wanted {want}", sampler.name());
    }
}

/// Of LSGM's flow with a network that knows normal data the latents stay as they are, in VP.
#[test]
fn adaptive_steps_keep_normal_latents() {
    for kind in ["vpsde", "geometric_sde"] {
        let config = json!({"sde_type": kind, "sigma2_0": 3e-5, "sigma2_min": 3e-5, "sigma2_max": 0.999,
            "num_groups_per_scale": 1, "num_latent_per_group": 1, "ode_solver_tol": 1e-6});
        let system = System::of("Lsgm", &config, ONE).unwrap();
        let Some(System::Lsgm(of)) = &system else { panic!("another system") };
        let sde = of.sde;
        let config = SchedulerConfig { system: system.clone(), ..Default::default() };
        let program = Sampler::Rk45.program(&Context::new(&config, ONE, 1)).unwrap();
        let image = program.interpret(
            &Default::default(),
            // The prior predicts sqrt(var) x where all is normal; the decoder gives the latents.
            |call| match call.net {
                0 => {
                    assert!((of.ode_eps..=1.0).contains(&call.time) && sde.variance(call.time) > 0.0);
                    Ok(vec![0.0, call.inputs[0][0]])
                }
                _ => Ok(call.inputs[0].to_vec()),
            },
            |_, shape| vec![1.3; shape.len()],
            |_| {},
        );
        let got = image.unwrap()[0];
        assert!((got - 1.3).abs() < 1e-3, "{kind}: {got}");
    }
}
