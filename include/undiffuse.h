/*
 * undiffuse: diffusion models run backwards on any GPU.
 *
 * Made from src/capi; do not edit. A whole program: examples/c/sample.c.
 *
 *     undiffuse_gpu *gpu; undiffuse_pipeline *pipeline; undiffuse_job *job;
 *     undiffuse_gpu_open(NULL, NULL, &gpu);
 *     undiffuse_pipeline_open(gpu, "emoji32", &pipeline);
 *     undiffuse_job_start(pipeline, NULL, &job);
 *     while (undiffuse_job_advance(job, 8.0) == UNDIFFUSE_MORE) draw_a_frame();
 *     undiffuse_job_pixels(job, 0, 1, pixels, sizeof pixels);
 *
 * ERRORS. Functions that can fail return an undiffuse_status; after one of 100 and more,
 * undiffuse_last_error() says on the same thread what went wrong and what to do. NULL and
 * text that is not UTF-8 are errors (UNDIFFUSE_ARGUMENT), never crashes. No panic and no
 * exception comes out of a function.
 *
 * THREADS. Every function may be called from any thread. A gpu and a pipeline may be used
 * by many threads at once. Calls on one job wait for each other, undiffuse_job_cancel
 * excepted. A free function must be the last call on its handle. Handles may be freed in
 * any order: a job keeps what it needs of its pipeline, a pipeline of its gpu.
 *
 * PIXELS, no textures. The device is the library's own, made by its wgpu; a texture
 * belongs to it, and its raw handle (VkImage, MTLTexture, ID3D12Resource) could be used
 * by no other device, nor without knowing in which layout and after which submission wgpu
 * left it. A Rust program shares its own device instead (Gpu::adopt, Job::texture).
 */

#ifndef UNDIFFUSE_H
#define UNDIFFUSE_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this interface. It grows when something is added; a program that was
 * compiled against an older header goes on to work.
 */
#define UNDIFFUSE_ABI_VERSION 1

/**
 * What a call came to. The numbers stay as they are; later versions may add some, so
 * treat one that you do not know by its hundred.
 */
typedef enum undiffuse_status {
  /**
   * Done.
   */
  UNDIFFUSE_OK = 0,
  /**
   * Well so far; the job has more to do.
   */
  UNDIFFUSE_MORE = 1,
  /**
   * 100 to 199, the calling program: NULL where something is needed, text that is
   * not UTF-8, a number out of range, a struct of an unknown size.
   */
  UNDIFFUSE_ARGUMENT = 100,
  /**
   * An option that does not fit the model or another option.
   */
  UNDIFFUSE_OPTION = 101,
  /**
   * The buffer has another length than the data.
   */
  UNDIFFUSE_LENGTH = 102,
  /**
   * The images asked for are not drawn yet.
   */
  UNDIFFUSE_NOT_DRAWN = 103,
  /**
   * No adapter or backend of that name.
   */
  UNDIFFUSE_ADAPTER_NAME = 104,
  /**
   * The job was stopped by undiffuse_job_cancel or by the callback.
   */
  UNDIFFUSE_CANCELLED = 105,
  /**
   * 200 to 299, whoever chose the model: no such embedded model, folder or file.
   */
  UNDIFFUSE_MODEL_NOT_FOUND = 200,
  /**
   * A file is damaged, or files do not belong together.
   */
  UNDIFFUSE_MODEL_DAMAGED = 201,
  /**
   * A model, a configuration or a number format that this library does not have.
   */
  UNDIFFUSE_MODEL_UNSUPPORTED = 202,
  /**
   * The network gave NaN or infinity.
   */
  UNDIFFUSE_NOT_FINITE = 203,
  /**
   * 300 to 399, the machine: no adapter answers; a driver is missing.
   */
  UNDIFFUSE_NO_ADAPTER = 300,
  /**
   * The adapter gave no device.
   */
  UNDIFFUSE_NO_DEVICE = 301,
  /**
   * The adapter is too small for the model.
   */
  UNDIFFUSE_LIMIT = 302,
  /**
   * The adapter or the budget is out of memory: use a smaller batch.
   */
  UNDIFFUSE_MEMORY = 303,
  /**
   * The device was lost: free everything, open the gpu again.
   */
  UNDIFFUSE_DEVICE_LOST = 304,
  /**
   * The adapter did not answer in time.
   */
  UNDIFFUSE_TIMEOUT = 305,
  /**
   * The system refused to read a file.
   */
  UNDIFFUSE_IO = 306,
  /**
   * A mistake in this library: please report it. The handle should be freed.
   */
  UNDIFFUSE_INTERNAL = 900,
} undiffuse_status;

/**
 * A device. Any number of threads may use it at once. It may be freed while pipelines
 * made with it are still there.
 */
typedef struct undiffuse_gpu undiffuse_gpu;

/**
 * A run of a sampler. Every function but undiffuse_job_free may be called from any
 * thread at any time: calls wait for each other, only undiffuse_job_cancel never waits.
 * It must be freed once, when no other call on it is under way.
 */
typedef struct undiffuse_job undiffuse_job;

/**
 * A model on a device. Any number of threads may use it at once. It may be freed while
 * jobs made with it are still there.
 */
typedef struct undiffuse_pipeline undiffuse_pipeline;

/**
 * What to draw, and how. Always begin with undiffuse_options_default; later versions add
 * members at the end, and a program that does not know them gets their defaults.
 */
typedef struct undiffuse_options {
  /**
   * sizeof(undiffuse_options), by which the library knows the program's version.
   */
  uint32_t size;
  /**
   * Steps of the sampler; 0 takes its default.
   */
  uint32_t steps;
  /**
   * How many images: 1 or more.
   */
  uint64_t count;
  /**
   * Images at once; 0 takes what fits.
   */
  uint64_t batch;
  /**
   * The index of the first image: an image is a function of model, sampler, seed and
   * index alone, whatever the batch.
   */
  uint64_t first_index;
  /**
   * The seed of all noise.
   */
  uint64_t seed;
  /**
   * "ddim", "ddpm"; NULL is "ddim". Read during undiffuse_job_start only.
   */
  const char *sampler;
  /**
   * A class by name, by the beginning of its name or by number, "all" for each in turn,
   * "none" for the empty class; NULL is whatever the model draws. Read during
   * undiffuse_job_start only.
   */
  const char *class_name;
  /**
   * The scale of classifier-free guidance; 1 is none.
   */
  double guidance_scale;
  /**
   * DDIM's stochasticity, 0 to 1; NaN takes the sampler's default.
   */
  double eta;
} undiffuse_options;

/**
 * How far a job is. Later versions add members at the end.
 */
typedef struct undiffuse_progress {
  /**
   * Images that are drawn: undiffuse_job_pixels gives them.
   */
  uint64_t images;
  /**
   * Images in all.
   */
  uint64_t count;
  /**
   * Steps of the present batch that are submitted.
   */
  uint64_t step;
  /**
   * Steps of a batch.
   */
  uint64_t steps;
  /**
   * From 0 to 1, over all batches.
   */
  double fraction;
} undiffuse_progress;

/**
 * Told by undiffuse_job_run how far it is. Returns 0 to go on, anything else to stop. It
 * runs on the thread that called undiffuse_job_run, may call any function on the job but
 * undiffuse_job_free, and must return: no longjmp, no exception.
 */
typedef int (*undiffuse_callback)(const struct undiffuse_progress *progress, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The UNDIFFUSE_ABI_VERSION of the library that was loaded: not less than the header's
 * if everything in the header is to be there.
 */
uint32_t undiffuse_abi_version(void);

/**
 * The library's version, as "0.1.0". Valid for ever.
 */
const char *undiffuse_version(void);

/**
 * What went wrong in the last call on this thread that failed: what, where and what to
 * do, in English; "" where none did. Each thread has its own. Valid until the next call
 * that fails on this thread; never to be freed. Functions that return no status say
 * here why they returned NULL or 0.
 */
const char *undiffuse_last_error(void);

/**
 * Opens a device. `adapter` is a part of its name (any case) or its number, NULL for the
 * best; `backend` is "vulkan", "metal" or "dx12", NULL for all. Sets `*out`, to NULL
 * where it fails.
 */
enum undiffuse_status undiffuse_gpu_open(const char *adapter,
                                         const char *backend,
                                         struct undiffuse_gpu **out);

/**
 * The adapter's name, valid as long as the handle; NULL for NULL.
 */
const char *undiffuse_gpu_name(const struct undiffuse_gpu *gpu);

/**
 * Sets how many bytes of memory the library may have on this device, over all its
 * pipelines and jobs; UINT64_MAX lifts the limit.
 */
enum undiffuse_status undiffuse_gpu_set_memory_budget(const struct undiffuse_gpu *gpu,
                                                      uint64_t bytes);

/**
 * Frees a device; NULL is nothing to free.
 */
void undiffuse_gpu_free(struct undiffuse_gpu *gpu);

/**
 * Puts a model on a device: `model` is the name of an embedded one ("emoji32"), a folder
 * as diffusers saves it, "zoo/NAME", or "OWNER/NAME" in the Hugging Face cache, in UTF-8.
 * Reads files, sends weights, compiles: this may take seconds. Sets `*out`, to NULL where it
 * fails.
 */
enum undiffuse_status undiffuse_pipeline_open(const struct undiffuse_gpu *gpu,
                                              const char *model,
                                              struct undiffuse_pipeline **out);

/**
 * The width of its images in pixels; 0 for NULL.
 */
uint32_t undiffuse_pipeline_width(const struct undiffuse_pipeline *pipeline);

/**
 * The height of its images in pixels; 0 for NULL.
 */
uint32_t undiffuse_pipeline_height(const struct undiffuse_pipeline *pipeline);

/**
 * How many classes it draws; 0 where it knows of none, and for NULL.
 */
size_t undiffuse_pipeline_class_count(const struct undiffuse_pipeline *pipeline);

/**
 * The name of a class, its number where the model gives none: what
 * undiffuse_options.class_name takes. Valid as long as the handle; NULL where there is no
 * such class.
 */
const char *undiffuse_pipeline_class_name(const struct undiffuse_pipeline *pipeline, size_t index);

/**
 * Frees a pipeline; NULL is nothing to free.
 */
void undiffuse_pipeline_free(struct undiffuse_pipeline *pipeline);

/**
 * Sets everything to its default. `size` is sizeof(undiffuse_options):
 *     undiffuse_options o;
 *     undiffuse_options_default(&o, sizeof o);
 */
enum undiffuse_status undiffuse_options_default(struct undiffuse_options *options, size_t size);

/**
 * Plans a job and puts what it needs on the device; nothing is drawn yet. `options` NULL
 * takes the defaults. Sets `*out`, to NULL where it fails.
 */
enum undiffuse_status undiffuse_job_start(const struct undiffuse_pipeline *pipeline,
                                          const struct undiffuse_options *options,
                                          struct undiffuse_job **out);

/**
 * Submits work for about `milliseconds` (0 or more) and returns UNDIFFUSE_MORE, or
 * UNDIFFUSE_OK once all images are drawn. Where the device is busy with earlier work it
 * waits, but no longer than `milliseconds`: call it once a frame, or in a loop. After an
 * error the images drawn before it are still there.
 */
enum undiffuse_status undiffuse_job_advance(const struct undiffuse_job *job, double milliseconds);

/**
 * Draws to the end, telling `callback` (may be NULL) about ten times a second how far it
 * is. UNDIFFUSE_CANCELLED where it returned another value than 0, or where another thread
 * cancelled.
 */
enum undiffuse_status undiffuse_job_run(const struct undiffuse_job *job,
                                        undiffuse_callback callback,
                                        void *user);

/**
 * Stops a job, from any thread and at any time but during or after undiffuse_job_free: it
 * submits nothing more, and its next or present advance or run returns
 * UNDIFFUSE_CANCELLED. Does not wait. A job that has drawn everything keeps its images.
 */
enum undiffuse_status undiffuse_job_cancel(const struct undiffuse_job *job);

/**
 * How far a job is. `size` is sizeof(undiffuse_progress).
 */
enum undiffuse_status undiffuse_job_progress(const struct undiffuse_job *job,
                                             struct undiffuse_progress *progress,
                                             size_t size);

/**
 * The width of an image in pixels; 0 for NULL.
 */
uint32_t undiffuse_job_width(const struct undiffuse_job *job);

/**
 * The height of an image in pixels; 0 for NULL.
 */
uint32_t undiffuse_job_height(const struct undiffuse_job *job);

/**
 * How many images are drawn so far; 0 for NULL.
 */
uint64_t undiffuse_job_image_count(const struct undiffuse_job *job);

/**
 * Copies `count` images from `first` on (0 is the job's first) to `pixels`: RGBA, a byte
 * each, alpha 255, sRGB; rows from the top, without gaps, image after image. `length` is
 * the size of the buffer in bytes and must be count * width * height * 4.
 */
enum undiffuse_status undiffuse_job_pixels(const struct undiffuse_job *job,
                                           uint64_t first,
                                           uint64_t count,
                                           uint8_t *pixels,
                                           size_t length);

/**
 * What was done so far, as a JSON object: adapter, sampler, steps, seconds, bytes and
 * more. Sets `*out` to a text that undiffuse_string_free frees, to NULL where it fails.
 */
enum undiffuse_status undiffuse_job_report(const struct undiffuse_job *job, char **out);

/**
 * Frees a job, drawn or not; NULL is nothing to free. Work on the device ends by itself.
 */
void undiffuse_job_free(struct undiffuse_job *job);

/**
 * Frees a text that this library made; NULL is nothing to free.
 */
void undiffuse_string_free(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* UNDIFFUSE_H */
