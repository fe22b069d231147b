/* What can be got wrong from C, and how the library answers. Exits with 0 where every
 * answer is right. Run by tests/capi.rs, by hand under valgrind or a sanitizer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <undiffuse.h>

static int wrong;

/* A status, and words that its message must have. */
static void check(const char *what, undiffuse_status status, undiffuse_status wanted, const char *words) {
  const char *said = wanted < UNDIFFUSE_ARGUMENT ? "" : undiffuse_last_error();
  if (status == wanted && strstr(said, words)) return;
  fprintf(stderr, "%s: status %d, wanted %d; message `%s`, wanted `%s`\n", what, (int)status,
          (int)wanted, undiffuse_last_error(), words);
  ++wrong;
}

static void is(const char *what, int good) {
  if (good) return;
  fprintf(stderr, "%s\n", what);
  ++wrong;
}

static int stop(const undiffuse_progress *progress, void *user) {
  undiffuse_job *job = user;
  uint8_t pixels[4];
  /* A callback may ask its job. */
  is("progress in a callback", progress->count == 3 && progress->fraction >= 0.0);
  if (undiffuse_job_image_count(job) == 0)
    check("pixels in a callback", undiffuse_job_pixels(job, 0, 1, pixels, 4), UNDIFFUSE_NOT_DRAWN,
          "1 images from 0 on were asked for, 0 are drawn");
  return 1;
}

int main(void) {
  undiffuse_gpu *gpu = (undiffuse_gpu *)&wrong; /* set to NULL by a call that fails */
  undiffuse_pipeline *pipeline = NULL;
  undiffuse_job *job = NULL;
  undiffuse_options options;
  undiffuse_progress progress;
  char *report = NULL;
  uint8_t *pixels;
  size_t bytes;
  undiffuse_status status;

  is("no error yet", strcmp(undiffuse_last_error(), "") == 0);

  check("no out", undiffuse_gpu_open(NULL, NULL, NULL), UNDIFFUSE_ARGUMENT, "out is NULL");
  check("adapter", undiffuse_gpu_open("no such adapter", NULL, &gpu), UNDIFFUSE_ADAPTER_NAME,
        "no adapter matches `no such adapter`");
  is("a failed open gives NULL", gpu == NULL);
  check("UTF-8", undiffuse_gpu_open("abc\xff", NULL, &gpu), UNDIFFUSE_ARGUMENT,
        "adapter is not UTF-8 from byte 3 on");
  check("backend", undiffuse_gpu_open(NULL, "glide", &gpu), UNDIFFUSE_ADAPTER_NAME, "no backend `glide`");
  check("gpu NULL", undiffuse_pipeline_open(NULL, "emoji32", &pipeline), UNDIFFUSE_ARGUMENT, "gpu is NULL");
  is("name of NULL", undiffuse_gpu_name(NULL) == NULL && strstr(undiffuse_last_error(), "gpu is NULL"));

  check("open", undiffuse_gpu_open(NULL, NULL, &gpu), UNDIFFUSE_OK, "");
  is("a name", undiffuse_gpu_name(gpu) && undiffuse_gpu_name(gpu)[0]);
  check("model NULL", undiffuse_pipeline_open(gpu, NULL, &pipeline), UNDIFFUSE_ARGUMENT, "model is NULL");
  check("model", undiffuse_pipeline_open(gpu, "nosuchmodel", &pipeline), UNDIFFUSE_MODEL_NOT_FOUND,
        "embedded: emoji32");
  check("folder", undiffuse_pipeline_open(gpu, "./no/such/folder", &pipeline), UNDIFFUSE_MODEL_NOT_FOUND,
        "no/such/folder");
  check("budget", undiffuse_gpu_set_memory_budget(gpu, 1000), UNDIFFUSE_OK, "");
  check("memory", undiffuse_pipeline_open(gpu, "emoji32", &pipeline), UNDIFFUSE_MEMORY, "memory budget");
  check("no budget", undiffuse_gpu_set_memory_budget(gpu, UINT64_MAX), UNDIFFUSE_OK, "");
  check("open", undiffuse_pipeline_open(gpu, "emoji32", &pipeline), UNDIFFUSE_OK, "");
  is("size", undiffuse_pipeline_width(pipeline) == 32 && undiffuse_pipeline_height(pipeline) == 32);
  is("classes", undiffuse_pipeline_class_count(pipeline) == 10);
  is("no class", undiffuse_pipeline_class_name(pipeline, 10) == NULL &&
                     strstr(undiffuse_last_error(), "no class 10: there are 10"));
  undiffuse_gpu_free(gpu); /* the pipeline keeps what it needs */

  check("options NULL", undiffuse_options_default(NULL, sizeof options), UNDIFFUSE_ARGUMENT, "options is NULL");
  check("size", undiffuse_options_default(&options, 8), UNDIFFUSE_ARGUMENT, "has size 8");
  memset(&options, 0, sizeof options);
  check("no default", undiffuse_job_start(pipeline, &options, &job), UNDIFFUSE_ARGUMENT,
        "begin with undiffuse_options_default");
  check("default", undiffuse_options_default(&options, sizeof options), UNDIFFUSE_OK, "");
  is("defaults", options.size == sizeof options && options.count == 1 && options.guidance_scale == 1.0 &&
                     options.eta != options.eta && !options.sampler && !options.class_name);
  options.sampler = "euler-maruyama-3000";
  check("sampler", undiffuse_job_start(pipeline, &options, &job), UNDIFFUSE_OPTION, "choose one of ");
  options.sampler = "ddim";
  options.class_name = "\xc3\x28";
  check("class", undiffuse_job_start(pipeline, &options, &job), UNDIFFUSE_ARGUMENT, "class_name is not UTF-8");
  options.class_name = "all";
  options.count = 0;
  check("count", undiffuse_job_start(pipeline, &options, &job), UNDIFFUSE_OPTION, "give 1 or more");
  options.count = 3;
  options.batch = 1;
  options.steps = 1;
  check("no place", undiffuse_job_start(pipeline, &options, NULL), UNDIFFUSE_ARGUMENT, "out is NULL");

  /* Cancelled by the callback. */
  check("start", undiffuse_job_start(pipeline, &options, &job), UNDIFFUSE_OK, "");
  check("run", undiffuse_job_run(job, stop, job), UNDIFFUSE_CANCELLED, "of 3 images drawn");
  check("again", undiffuse_job_advance(job, 1.0), UNDIFFUSE_CANCELLED, "cancelled");
  undiffuse_job_free(job);

  /* Frame by frame, with another cancel after the end. */
  check("start", undiffuse_job_start(pipeline, &options, &job), UNDIFFUSE_OK, "");
  undiffuse_pipeline_free(pipeline); /* the job keeps what it needs */
  check("budget", undiffuse_job_advance(job, -1.0), UNDIFFUSE_ARGUMENT, "milliseconds = -1");
  while ((status = undiffuse_job_advance(job, 20.0)) == UNDIFFUSE_MORE) {
    check("progress", undiffuse_job_progress(job, &progress, sizeof progress), UNDIFFUSE_OK, "");
    is("counts", progress.count == 3 && progress.images == undiffuse_job_image_count(job));
  }
  check("advance", status, UNDIFFUSE_OK, "");
  check("cancel", undiffuse_job_cancel(job), UNDIFFUSE_OK, "");
  is("three", undiffuse_job_image_count(job) == 3);
  bytes = 2 * 32 * 32 * 4;
  pixels = malloc(bytes);
  check("pixels NULL", undiffuse_job_pixels(job, 1, 2, NULL, bytes), UNDIFFUSE_ARGUMENT, "pixels is NULL");
  check("short", undiffuse_job_pixels(job, 1, 2, pixels, bytes - 1), UNDIFFUSE_LENGTH,
        "the buffer has 8191 bytes, 2 images of 32 x 32 RGBA pixels have 8192");
  check("past", undiffuse_job_pixels(job, 2, 2, pixels, bytes), UNDIFFUSE_NOT_DRAWN, "3 are drawn");
  check("overflow", undiffuse_job_pixels(job, UINT64_MAX, 2, pixels, bytes), UNDIFFUSE_NOT_DRAWN, "3 are drawn");
  check("pixels", undiffuse_job_pixels(job, 1, 2, pixels, bytes), UNDIFFUSE_OK, "");
  is("alpha", pixels[3] == 255 && pixels[bytes - 1] == 255);
  free(pixels);
  check("report", undiffuse_job_report(job, &report), UNDIFFUSE_OK, "");
  is("a report", report && strstr(report, "\"images\":3"));
  undiffuse_string_free(report);
  undiffuse_job_free(job);

  /* NULL is nothing, everywhere. */
  check("NULL", undiffuse_job_advance(NULL, 1.0), UNDIFFUSE_ARGUMENT, "job is NULL");
  check("NULL", undiffuse_job_run(NULL, NULL, NULL), UNDIFFUSE_ARGUMENT, "job is NULL");
  check("NULL", undiffuse_job_cancel(NULL), UNDIFFUSE_ARGUMENT, "job is NULL");
  is("NULL", undiffuse_job_width(NULL) == 0 && undiffuse_job_height(NULL) == 0 &&
                 undiffuse_job_image_count(NULL) == 0 && undiffuse_pipeline_width(NULL) == 0);
  undiffuse_job_free(NULL);
  undiffuse_pipeline_free(NULL);
  undiffuse_gpu_free(NULL);
  undiffuse_string_free(NULL);
  if (wrong == 0) printf("all right\n");
  return wrong != 0;
}
