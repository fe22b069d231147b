//! DPM-Solver++, multistep, for a model in EDM's parametrisation (Lu et al. 2022,
//! arXiv:2211.01095; Karras et al. 2022, arXiv:2206.00364; diffusers'
//! `EDMDPMSolverMultistepScheduler`): [`super::dpm_multistep`] with alpha = 1, the
//! network and the levels being those of [`super::edm_euler`].

use super::super::program::Program;
use super::super::solver_config::Algorithm;
use super::super::Error;
use super::{Context, Sampler};

/// The program of DPM-Solver++.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let solver = &context.config.solver;
    if let Some(algorithm @ (Algorithm::Noise | Algorithm::NoiseSde)) = solver.algorithm_type {
        let need = "models in EDM's parametrisation take dpmsolver++ and sde-dpmsolver++";
        return Err(Error::config("algorithm_type", algorithm.name(), need));
    }
    if solver.algorithm_type == Some(Algorithm::DataSde) && solver.solver_order == Some(3) {
        return Err(Error::config(
            "solver_order",
            3,
            "with algorithm_type sde-dpmsolver++ it must be 1 or 2",
        ));
    }
    super::dpm_multistep::in_space(context, sampler, super::edm_euler::space(context)?)
}
