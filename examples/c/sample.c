/* Draws emoji from C and writes them as one PPM picture, side by side:
 *
 *     make capi PREFIX=/somewhere
 *     cc examples/c/sample.c $(PKG_CONFIG_PATH=/somewhere/lib/pkgconfig pkg-config --cflags --libs undiffuse)
 *     ./a.out emoji.ppm [COUNT [STEPS [SEED]]]
 *
 * Interrupt it (Ctrl-C) and it writes what is drawn by then.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <undiffuse.h>

static volatile sig_atomic_t interrupted;

static void interrupt(int signal) {
  (void)signal;
  interrupted = 1;
}

/* Says what went wrong and goes on: a status is below 100 when nothing did. */
static int failed(const char *what, undiffuse_status status) {
  if (status < UNDIFFUSE_ARGUMENT) return 0;
  fprintf(stderr, "%s: status %d: %s\n", what, (int)status, undiffuse_last_error());
  return 1;
}

/* Called about ten times a second. `user` is what undiffuse_job_run was given. */
static int show(const undiffuse_progress *progress, void *user) {
  int *calls = user;
  ++*calls;
  fprintf(stderr, "\r%3.0f %%", 100.0 * progress->fraction);
  return interrupted;
}

static int write_ppm(const char *path, const uint8_t *rgba, size_t count, size_t width, size_t height) {
  FILE *file = fopen(path, "wb");
  size_t x, y, i;
  if (!file) return 0;
  fprintf(file, "P6\n%lu %lu\n255\n", (unsigned long)(count * width), (unsigned long)height);
  for (y = 0; y < height; ++y)
    for (i = 0; i < count; ++i)
      for (x = 0; x < width; ++x) fwrite(rgba + ((i * height + y) * width + x) * 4, 1, 3, file);
  if (ferror(file)) {
    fclose(file);
    return 0;
  }
  return fclose(file) == 0;
}

int main(int argc, char **argv) {
  undiffuse_gpu *gpu = NULL;
  undiffuse_pipeline *pipeline = NULL;
  undiffuse_job *job = NULL;
  undiffuse_options options;
  undiffuse_status status;
  uint8_t *pixels = NULL;
  char *report = NULL;
  size_t width, height, bytes, drawn;
  int calls = 0, code = 1;

  if (argc < 2) {
    fprintf(stderr, "usage: %s FILE.ppm [COUNT [STEPS [SEED]]]\n", argv[0]);
    return 2;
  }
  if (undiffuse_abi_version() < UNDIFFUSE_ABI_VERSION) {
    fprintf(stderr, "undiffuse %s is older than the header\n", undiffuse_version());
    return 2;
  }
  undiffuse_options_default(&options, sizeof options);
  options.count = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
  options.steps = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 20;
  options.seed = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
  options.class_name = "all";
  options.guidance_scale = 1.5;

  if (failed("open the gpu", undiffuse_gpu_open(NULL, NULL, &gpu))) goto end;
  printf("adapter: %s\n", undiffuse_gpu_name(gpu));
  if (failed("open the model", undiffuse_pipeline_open(gpu, "emoji32", &pipeline))) goto end;
  printf("classes: %lu, the first is %s\n", (unsigned long)undiffuse_pipeline_class_count(pipeline),
         undiffuse_pipeline_class_name(pipeline, 0));
  if (failed("start", undiffuse_job_start(pipeline, &options, &job))) goto end;

  signal(SIGINT, interrupt);
  status = undiffuse_job_run(job, show, &calls);
  fprintf(stderr, "\n");
  if (failed("draw", status) && status != UNDIFFUSE_CANCELLED) goto end;

  drawn = (size_t)undiffuse_job_image_count(job);
  width = undiffuse_job_width(job);
  height = undiffuse_job_height(job);
  printf("images: %lu of %lu x %lu\n", (unsigned long)drawn, (unsigned long)width, (unsigned long)height);
  if (drawn > 0) {
    bytes = drawn * width * height * 4;
    pixels = malloc(bytes);
    if (!pixels || failed("pixels", undiffuse_job_pixels(job, 0, drawn, pixels, bytes))) goto end;
    if (!write_ppm(argv[1], pixels, drawn, width, height)) {
      fprintf(stderr, "cannot write %s\n", argv[1]);
      goto end;
    }
  }
  if (failed("report", undiffuse_job_report(job, &report))) goto end;
  printf("report: %s\n", report);
  printf("callbacks: %s\n", calls > 0 ? "some" : "none");
  code = status == UNDIFFUSE_OK ? 0 : 130;

end:
  undiffuse_string_free(report);
  free(pixels);
  undiffuse_job_free(job);
  undiffuse_pipeline_free(pipeline);
  undiffuse_gpu_free(gpu);
  return code;
}
