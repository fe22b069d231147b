"""Scheduler runs over the `sampled` networks: every option of DDPM and DDIM, a few of each other one.

Karras, exponential and beta levels, and LMS, need scipy.
"""

DDPM, DDIM = "DDPMScheduler", "DDIMScheduler"
HALF_THRESHOLD = dict(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1.5)
V, X0 = dict(prediction_type="v_prediction"), dict(prediction_type="sample")

# network: {name: (scheduler, config, steps, keyword arguments of step, custom timesteps)}
RUNS = {
    "sampled": {
        "ddpm_small": (DDPM, {}, 6, {}),
        "ddpm_small_log": (DDPM, dict(variance_type="fixed_small_log"), 5, {}),
        "ddpm_large": (DDPM, dict(variance_type="fixed_large"), 5, {}),
        "ddpm_unclipped": (DDPM, dict(clip_sample=False), 5, {}),
        "ddpm_clip_range": (DDPM, dict(clip_sample_range=0.6), 4, {}),
        "ddpm_threshold": (DDPM, HALF_THRESHOLD, 5, {}),
        "ddpm_threshold_x0": (DDPM, dict(HALF_THRESHOLD, **X0, dynamic_thresholding_ratio=0.995, sample_max_value=3.0), 4, {}),
        "ddpm_x0": (DDPM, X0, 5, {}),
        "ddpm_v": (DDPM, V, 5, {}),
        "ddpm_linspace": (DDPM, dict(timestep_spacing="linspace"), 6, {}),
        "ddpm_trailing": (DDPM, dict(timestep_spacing="trailing"), 7, {}),
        "ddpm_offset": (DDPM, dict(steps_offset=1), 4, {}),
        "ddpm_zero_snr_v": (DDPM, dict(V, rescale_betas_zero_snr=True, timestep_spacing="trailing"), 5, {}),
        "ddpm_scaled_linear": (DDPM, dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012), 4, {}),
        "ddpm_cosine": (DDPM, dict(beta_schedule="squaredcos_cap_v2"), 5, {}),
        "ddpm_laplace": (DDPM, dict(beta_schedule="laplace", timestep_spacing="trailing"), 4, {}),
        "ddpm_sigmoid": (DDPM, dict(beta_schedule="sigmoid"), 4, {}),
        "ddpm_trained_betas": (DDPM, dict(trained_betas=[0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7], num_train_timesteps=8), 8, {}),
        "ddpm_all_steps_10": (DDPM, dict(num_train_timesteps=7, beta_start=0.05, beta_end=0.6), 7, {}),
        "ddpm_7_of_1000": (DDPM, {}, 7, {}),
        "ddpm_custom_timesteps": (DDPM, {}, [900, 601, 300, 77, 3], {}),
        "ddim": (DDIM, {}, 6, {}),
        "ddim_eta_half": (DDIM, {}, 5, dict(eta=0.5)),
        "ddim_eta_one": (DDIM, {}, 5, dict(eta=1.0)),
        "ddim_clipped_output": (DDIM, {}, 5, dict(use_clipped_model_output=True)),
        "ddim_clipped_output_eta": (DDIM, dict(clip_sample_range=0.5), 4, dict(use_clipped_model_output=True, eta=0.3)),
        "ddim_unclipped": (DDIM, dict(clip_sample=False), 5, {}),
        "ddim_threshold": (DDIM, HALF_THRESHOLD, 5, {}),
        "ddim_x0": (DDIM, X0, 5, {}),
        "ddim_v": (DDIM, V, 5, {}),
        "ddim_linspace": (DDIM, dict(timestep_spacing="linspace"), 6, {}),
        "ddim_trailing": (DDIM, dict(timestep_spacing="trailing"), 7, {}),
        "ddim_offset_not_one": (DDIM, dict(steps_offset=1, set_alpha_to_one=False), 5, {}),
        "ddim_not_one": (DDIM, dict(set_alpha_to_one=False, clip_sample=False), 4, dict(eta=0.7)),
        "ddim_zero_snr_v": (DDIM, dict(V, rescale_betas_zero_snr=True, timestep_spacing="trailing"), 5, {}),
        "ddim_zero_snr_x0_eta": (DDIM, dict(X0, rescale_betas_zero_snr=True, timestep_spacing="trailing"), 4, dict(eta=0.5)),
        "ddim_scaled_linear": (DDIM, dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012), 4, {}),
        "ddim_cosine": (DDIM, dict(beta_schedule="squaredcos_cap_v2"), 5, {}),
        "ddim_trained_betas": (DDIM, dict(trained_betas=[0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7], num_train_timesteps=8), 4, {}),
        "ddim_7_of_1000_eta": (DDIM, {}, 7, dict(eta=1.0)),
    },
    # A network that is told sigma and gives the score.
    "ncsnpp": {
        "score_sde_ve": ("ScoreSdeVeScheduler", dict(sigma_max=50.0, correct_steps=2), 3, {}),
    },
    # Solvers of differential equations: one network evaluation is a step.
    "solved": {
        "ddim_inverse": ("DDIMInverseScheduler", {}, 4, {}),
        "euler": ("EulerDiscreteScheduler", {}, 5, {}),
        "euler_churn_karras_v": ("EulerDiscreteScheduler", dict(V, use_karras_sigmas=True), 4, dict(s_churn=2.0, s_noise=1.003)),
        "euler_sigmas": ("EulerDiscreteScheduler", {}, [20.0, 5.0, 0.5, 0.0], {}),
        "euler_a_leading": ("EulerAncestralDiscreteScheduler", dict(timestep_spacing="leading", steps_offset=1), 4, {}),
        "heun_clip": ("HeunDiscreteScheduler", dict(clip_sample=True), 3, {}),
        "dpm2_exponential": ("KDPM2DiscreteScheduler", dict(use_exponential_sigmas=True), 3, {}),
        "dpm2_a": ("KDPM2AncestralDiscreteScheduler", {}, 3, {}),
        "lms_beta": ("LMSDiscreteScheduler", dict(use_beta_sigmas=True), 6, {}),
        "pndm": ("PNDMScheduler", dict(skip_prk_steps=True), 6, {}),
        "pndm_prk_v": ("PNDMScheduler", V, 5, {}),
        "dpm_2m": ("DPMSolverMultistepScheduler", dict(HALF_THRESHOLD), 5, {}),
        "dpm_2m_sde_heun": ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++", solver_type="heun"), 5, {}),
        "dpm_3m_eps": ("DPMSolverMultistepScheduler", dict(V, solver_order=3, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"), 6, {}),
        "dpm_3m_karras": ("DPMSolverMultistepScheduler", dict(solver_order=3, use_karras_sigmas=True), 6, {}),
        "dpm_3s": ("DPMSolverSinglestepScheduler", dict(solver_order=3, solver_type="heun"), 6, {}),
        "dpm_2s_sde": ("DPMSolverSinglestepScheduler", dict(algorithm_type="sde-dpmsolver++"), 4, {}),
        "unipc": ("UniPCMultistepScheduler", {}, 5, {}),
        "unipc_3_bh1": ("UniPCMultistepScheduler", dict(solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min", disable_corrector=[1]), 6, {}),
        "deis_3": ("DEISMultistepScheduler", dict(solver_order=3), 6, {}),
        "lcm": ("LCMScheduler", {}, 4, {}),
        "edm_euler": ("EDMEulerScheduler", {}, 4, {}),
        "edm_dpm": ("EDMDPMSolverMultistepScheduler", dict(prediction_type="v_prediction"), 4, {}),
    },
    "sampled_6_channels": {
        "ddpm_learned_range": (DDPM, dict(variance_type="learned_range"), 5, {}),
        "ddpm_learned_range_cosine_v": (DDPM, dict(V, variance_type="learned_range", beta_schedule="squaredcos_cap_v2", clip_sample=False), 4, {}),
        "ddpm_learned": (DDPM, dict(variance_type="learned"), 4, {}),
    },
}
