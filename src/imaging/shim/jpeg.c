/* Decodes a region of a JPEG file, whole or scaled down, by libjpeg-turbo.
 *
 * libjpeg reports errors by a call that must not return. It leaves by longjmp, which never crosses Rust: everything that
 * libjpeg calls and everything that calls libjpeg lies in this file. */

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* As enum Outcome in jpeg_region.rs. */
enum { DONE, DAMAGED, TRUNCATED, UNSUPPORTED };

struct request {
  const uint8_t *bytes;
  size_t length;
  /* Size of the whole image, as the caller knows it from the header. */
  uint32_t width, height;
  /* 1, 2, 4 or 8. */
  uint32_t denominator;
  /* The region, in pixels of the scaled image. */
  uint32_t x, y, region_width, region_height;
  /* [region_height, region_width, 3] */
  uint8_t *out;
};

struct failure {
  struct jpeg_error_mgr manager; /* first: libjpeg hands back a pointer to it */
  jmp_buf jump;
  int outcome;
  char *message; /* JMSG_LENGTH_MAX characters */
};

static void leave(j_common_ptr info) {
  struct failure *failure = (struct failure *)info->err;
  switch (info->err->msg_code) {
  case JERR_INPUT_EOF:
  case JERR_INPUT_EMPTY:
    failure->outcome = TRUNCATED;
    break;
  case JERR_CONVERSION_NOTIMPL:
  case JERR_ARITH_NOTIMPL:
  case JERR_SOF_UNSUPPORTED:
  case JERR_BAD_PRECISION:
  case JERR_CCIR601_NOTIMPL:
  case JERR_FRACT_SAMPLE_NOTIMPL:
    failure->outcome = UNSUPPORTED;
    break;
  default:
    failure->outcome = DAMAGED;
  }
  (*info->err->format_message)(info, failure->message);
  longjmp(failure->jump, 1);
}

/* A warning is an error, unless it is about what lies outside of the coded data: libjpeg would go on with gray. Phones write
 * scan headers that are not quite those of a sequential file, and libjpeg does not use what is odd in them. The caller has
 * seen the end of the image; where coded data ends before, the warning is another: JWRN_HIT_MARKER. */
static void on_message(j_common_ptr info, int level) {
  if (level >= 0)
    return;
  switch (info->err->msg_code) {
  case JWRN_EXTRANEOUS_DATA:
  case JWRN_JFIF_MAJOR:
  case JWRN_ADOBE_XFORM:
  case JWRN_BOGUS_PROGRESSION:
  case JWRN_NOT_SEQUENTIAL:
  case JWRN_JPEG_EOF:
    return;
  default:
    leave(info);
  }
}

static void output_nothing(j_common_ptr info) { (void)info; }

static void fail(j_decompress_ptr info, int outcome, const char *message) {
  struct failure *failure = (struct failure *)info->err;
  failure->outcome = outcome;
  snprintf(failure->message, JMSG_LENGTH_MAX, "%s", message);
  longjmp(failure->jump, 1);
}

/* Whether libjpeg smooths over blocks, since the scans left out some of the coefficients that it looks at for that. */
static int is_smoothed(j_decompress_ptr info) {
  for (int component = 0; info->progressive_mode && component < info->num_components; component++)
    for (int coefficient = 1; coefficient < 10; coefficient++)
      if (info->coef_bits[component][coefficient] != 0)
        return 1;
  return 0;
}

/* Pillow's formula, of inverted values as Adobe writes them. */
static void cmyk_to_rgb(const uint8_t *from, uint8_t *to, uint32_t pixels) {
  for (uint32_t pixel = 0; pixel < pixels; pixel++, from += 4, to += 3) {
    const uint32_t white = from[3];
    for (int channel = 0; channel < 3; channel++) {
      const uint32_t product = (255u - from[channel]) * white + 128u;
      const uint32_t ink = (product + (product >> 8)) >> 8;
      to[channel] = (uint8_t)(white > ink ? white - ink : 0);
    }
  }
}

static void decode(j_decompress_ptr info, const struct request *request) {
  jpeg_mem_src(info, request->bytes, (unsigned long)request->length);
  jpeg_read_header(info, TRUE);
  if (info->image_width != request->width || info->image_height != request->height)
    fail(info, DAMAGED, "two frame headers of different sizes");
  if (info->num_components == 2 || info->num_components > 4) {
    char message[JMSG_LENGTH_MAX];
    snprintf(message, sizeof message, "%d channels", info->num_components);
    fail(info, UNSUPPORTED, message);
  }
  const int channels = info->num_components == 4 ? 4 : 3;
  info->out_color_space = channels == 4 ? JCS_CMYK : JCS_RGB;
  info->dct_method = JDCT_ISLOW;
  info->do_fancy_upsampling = TRUE;
  /* As Pillow; it changes only files that lack a part of their coefficients. */
  info->do_block_smoothing = TRUE;
  info->scale_num = 8 / request->denominator;
  info->scale_denom = 8;
  jpeg_start_decompress(info);
  if (request->region_width == 0 || request->region_height == 0 ||
      (uint64_t)request->x + request->region_width > info->output_width ||
      (uint64_t)request->y + request->region_height > info->output_height)
    fail(info, DAMAGED, "a region beyond the image");

  /* Chroma between samples is interpolated, otherwise at the edges of what is decoded: two samples more on either
   * side keep that away from the region. The left edge is moved on to a block's by libjpeg itself. */
  const uint32_t margin = 2 * (uint32_t)info->max_h_samp_factor;
  JDIMENSION left = request->x > margin ? request->x - margin : 0;
  uint64_t right = (uint64_t)request->x + request->region_width + margin;
  if (right > info->output_width)
    right = info->output_width;
  JDIMENSION width = (JDIMENSION)right - left;
  /* Smoothing looks further, so then all columns and rows are decoded. */
  const int smoothed = is_smoothed(info);
  if (smoothed)
    left = 0;
  else
    jpeg_crop_scanline(info, &left, &width);

  const size_t begin = (size_t)(request->x - left) * channels;
  const size_t length = (size_t)request->region_width * 3;
  const int whole_rows = channels == 3 && info->output_width == request->region_width;
  /* Rows that begin where a vector of AVX2 does are written past the caches, and the copy would wait for memory. */
  const size_t aside = 16;
  JSAMPARRAY rows =
      (*info->mem->alloc_sarray)((j_common_ptr)info, JPOOL_IMAGE, info->output_width * channels + aside, 1);
  JSAMPROW row = rows[0] + aside;
  while (smoothed && info->output_scanline < request->y)
    if (jpeg_read_scanlines(info, &row, 1) != 1)
      fail(info, TRUNCATED, "a row is missing");
  if (info->output_scanline < request->y)
    jpeg_skip_scanlines(info, request->y);
  for (uint32_t y = 0; y < request->region_height; y++) {
    uint8_t *out = request->out + y * length;
    JSAMPROW place = whole_rows ? out : row;
    if (jpeg_read_scanlines(info, &place, 1) != 1)
      fail(info, TRUNCATED, "a row is missing");
    if (whole_rows)
      continue;
    if (channels == 4)
      cmyk_to_rgb(row + begin, out, request->region_width);
    else
      memcpy(out, row + begin, length);
  }
  /* The rows below are not even read; of a whole image the end is, with what may be wrong there. */
  if (info->output_scanline == info->output_height)
    jpeg_finish_decompress(info);
}

/* `message` has room for JMSG_LENGTH_MAX = 200 characters and is written unless the answer is DONE. */
int seedpipe_decode_jpeg(const struct request *request, char *message) {
  struct jpeg_decompress_struct info;
  struct failure failure;
  memset(&info, 0, sizeof info);
  info.err = jpeg_std_error(&failure.manager);
  failure.manager.error_exit = leave;
  failure.manager.emit_message = on_message;
  failure.manager.output_message = output_nothing;
  failure.outcome = DONE;
  failure.message = message;
  if (setjmp(failure.jump) == 0) {
    jpeg_create_decompress(&info);
    decode(&info, request);
  }
  jpeg_destroy_decompress(&info);
  return failure.outcome;
}
