/* Speckle filters, in one pass over the rows of a band, the values near a percentile, and the scaling to 8 bits.

   Each function computes the same bits as its NumPy twin in refined_lee.py, speckle.py and stretch.py, which has the
   formulas: operations are in the same order, and the compiler must not contract them (-ffp-contract=off).
   tests/imagery/render/test_kernels.py compares the two.

   Filters work in strips of columns. A strip keeps its last seven input rows, and what is derived from them, in ring
   buffers that fit the CPU cache. Inputs are finite. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && \
    !defined(__SANITIZE_ADDRESS__)
#define MULTIVERSION \
    __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define MULTIVERSION
#endif
#define INLINE static inline __attribute__((always_inline))
/* Before a loop over columns: its iterations are independent, so that the compiler can vectorize it. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define RADIUS 3
#define SIDE 7
#define STRIP 512               /* columns of a strip */
#define PAD (STRIP + 16)        /* a row of a strip with its margins, in whole cache lines of 64 bytes */
#define BLOCK 64                /* columns that share whether one of their windows has an invalid pixel */
#define CACHE_LINE 64           /* bytes */
#define TINY 1e-30f
#define FROST_DAMPING 2.0f

typedef struct {
    const float *power;         /* rows x cols */
    const uint8_t *valid;       /* rows x cols, or NULL if all pixels are valid */
    float *out;                 /* rows x cols */
    Py_ssize_t rows, cols;
    float mean;                 /* the filters work on power / mean */
    float looks;                /* equivalent number of looks, the same plus 1, and its reciprocal */
    float looks_plus_one;
    float inverse_looks;
} Band;

INLINE float smaller(float a, float b) { return a < b ? a : b; }
INLINE float larger(float a, float b) { return a > b ? a : b; }

/* Index of a pixel outside the image, mirrored at the edges as by numpy.pad(mode="symmetric"). */
static Py_ssize_t mirror(Py_ssize_t index, Py_ssize_t length)
{
    Py_ssize_t folded = index % (2 * length);
    if (folded < 0)
        folded += 2 * length;
    return folded < length ? folded : 2 * length - 1 - folded;
}

/* Load a padded row of `width` output columns from column `left`: power and its square. */
INLINE void load_power(const Band *band, Py_ssize_t row, Py_ssize_t left, int width, float *power, float *square)
{
    const float *source = band->power + mirror(row, band->rows) * band->cols;
    memcpy(power + RADIUS, source + left, (size_t)width * sizeof(float));
    for (int i = 0; i < 2 * RADIUS; i++) {
        const int col = i < RADIUS ? i : width + i;
        power[col] = source[mirror(left + col - RADIUS, band->cols)];
    }
    INDEPENDENT
    for (int col = 0; col < width + 2 * RADIUS; col++) {
        power[col] = larger(power[col] / band->mean, 0.0f);
        square[col] = power[col] * power[col];
    }
}

/* Write an output row: power in the scale of the input, 0 in invalid pixels. */
INLINE void store_row(const Band *band, Py_ssize_t row, Py_ssize_t left, int width, const float *filtered)
{
    float *out = band->out + row * band->cols + left;
    INDEPENDENT
    for (int col = 0; col < width; col++)
        out[col] = filtered[col] * band->mean;
    if (band->valid) {
        const uint8_t *valid = band->valid + row * band->cols + left;
        INDEPENDENT
        for (int col = 0; col < width; col++)
            out[col] = valid[col] ? out[col] : 0.0f;
    }
}

/* ---- Blocks of columns near invalid pixels ---- */

/* Return the end of the run of blocks from column `from` that are alike in `blocks`, at most `end`. */
INLINE int run_end(uint32_t blocks, int from, int end)
{
    int block = from / BLOCK;
    const uint32_t kind = blocks >> block & 1;
    while (block * BLOCK < end && (blocks >> block & 1) == kind)
        block++;
    return block * BLOCK < end ? block * BLOCK : end;
}

/* Load the weights of a padded row. Return the blocks with an invalid column. */
INLINE uint32_t load_weights(const Band *band, Py_ssize_t row, Py_ssize_t left, int width, uint8_t *weight)
{
    const uint8_t *valid = band->valid + mirror(row, band->rows) * band->cols;
    uint32_t invalid = 0;
    memcpy(weight + RADIUS, valid + left, (size_t)width);
    for (int i = 0; i < 2 * RADIUS; i++) {
        const int col = i < RADIUS ? i : width + i;
        weight[col] = valid[mirror(left + col - RADIUS, band->cols)];
    }
    for (int from = 0; from < width + 2 * RADIUS; from += BLOCK) {
        const size_t length = (size_t)(width + 2 * RADIUS - from < BLOCK ? width + 2 * RADIUS - from : BLOCK);
        if (memchr(weight + from, 0, length))
            invalid |= 1u << from / BLOCK;
    }
    return invalid;
}

/* The blocks of columns that reach an invalid pixel of the last `rows` ring rows; a window reaches into the next block. */
INLINE uint32_t masked_blocks(const uint32_t invalid[SIDE], int slot, int rows)
{
    uint32_t blocks = 0;
    for (int row = 0; row < rows; row++)
        blocks |= invalid[(slot + SIDE - row) % SIDE];
    return blocks | blocks >> 1;
}

/* ---- 3 x 3 and 7 x 7 boxes: line_sums adds runs of 1, 2 and 4 in this order ---- */

#define SUM3(a) ((a)[0] + ((a)[1] + (a)[2]))
#define SUM7(a) (((a)[0] + ((a)[1] + (a)[2])) + (((a)[3] + (a)[4]) + ((a)[5] + (a)[6])))

INLINE float sum3_rows(float (*rows)[PAD], const int ring[3], int col)
{
    return rows[ring[0]][col] + (rows[ring[1]][col] + rows[ring[2]][col]);
}

#define SUM7_OF(row, col) \
    (((row)[0][col] + ((row)[1][col] + (row)[2][col])) + (((row)[3][col] + (row)[4][col]) + ((row)[5][col] + (row)[6][col])))

/* ---- Refined Lee ---- */

typedef struct {
    float power[PAD], square[PAD];
    float run[2][SIDE][SIDE][PAD];      /* plane, ring row, width - 1: sums of 1 to 7 neighbors */
    float box[2][3][PAD];               /* plane, ring row: sums of 3 neighbors */
    float mean[5][PAD], relative[5][PAD];
    float half[2][8][STRIP];            /* plane: sums over the eight half windows */
    float filtered[STRIP];
    uint8_t weight[PAD];                /* 1 for a valid pixel; sums of it are numbers of valid pixels */
    uint8_t weight_run[SIDE][SIDE][PAD], weight_box[3][PAD], count[8][STRIP];
    uint32_t invalid[SIDE];             /* ring row: bit b if one of the columns of block b is invalid */
} RefinedLee;

/* half_sums: sums over the eight half windows of 28 pixels of one plane, whose first row is ring row `first`.
   row_sums: sums of 1 to 7 neighbors, and of 3 neighbors in the order of a box, of one plane of a padded row. */
#define SUMS(type)                                                                                                     \
    INLINE void half_sums_##type(type (*run)[SIDE][PAD], int first, int from, int to, type (*half)[STRIP])             \
    {                                                                                                                  \
        const type (*r[SIDE])[PAD];             /* of each row: width - 1, column */                                   \
        for (int row = 0; row < SIDE; row++)                                                                           \
            r[row] = run[(first + row) % SIDE];                                                                        \
        const type *const four[SIDE] = {r[0][3], r[1][3], r[2][3], r[3][3], r[4][3], r[5][3], r[6][3]};                \
        INDEPENDENT                                                                                                    \
        for (int col = from; col < to; col++) {                                                                        \
            half[0][col] = (type)SUM7_OF(four, col);                                                                   \
            half[1][col] = (type)SUM7_OF(four, col + RADIUS);                                                          \
        }                                                                                                              \
        INDEPENDENT                                                                                                    \
        for (int col = from; col < to; col++) {                                                                        \
            half[2][col] = (type)((r[0][6][col] + r[1][6][col]) + (r[2][6][col] + r[3][6][col]));                      \
            half[3][col] = (type)((r[3][6][col] + r[4][6][col]) + (r[5][6][col] + r[6][6][col]));                      \
        }                                                                                                              \
        INDEPENDENT                                                                                                    \
        for (int col = from; col < to; col++) {                                                                        \
            half[4][col] = (type)(r[0][6][col] + r[1][5][col] + r[2][4][col] + r[3][3][col] + r[4][2][col] +           \
                                  r[5][1][col] + r[6][0][col]);                                                        \
            half[5][col] = (type)(r[0][0][col + 6] + r[1][1][col + 5] + r[2][2][col + 4] + r[3][3][col + 3] +          \
                                  r[4][4][col + 2] + r[5][5][col + 1] + r[6][6][col]);                                 \
        }                                                                                                              \
        INDEPENDENT                                                                                                    \
        for (int col = from; col < to; col++) {                                                                        \
            half[6][col] = (type)(r[0][6][col] + r[1][5][col + 1] + r[2][4][col + 2] + r[3][3][col + 3] +              \
                                  r[4][2][col + 4] + r[5][1][col + 5] + r[6][0][col + 6]);                             \
            half[7][col] = (type)(r[0][0][col] + r[1][1][col] + r[2][2][col] + r[3][3][col] + r[4][4][col] +           \
                                  r[5][5][col] + r[6][6][col]);                                                        \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    INLINE void row_sums_##type(const type *plane, int width, type (*run)[PAD], type *box)                             \
    {                                                                                                                  \
        memcpy(run[0], plane, (size_t)(width + 2 * RADIUS) * sizeof(type));                                            \
        for (int length = 1; length < SIDE; length++)                                                                  \
            INDEPENDENT                                                                                                \
            for (int col = 0; col < width + 2 * RADIUS - length; col++)                                                \
                run[length][col] = (type)(run[length - 1][col] + plane[col + length]);                                 \
        INDEPENDENT                                                                                                    \
        for (int col = 0; col < width + 4; col++)                                                                      \
            box[col] = (type)SUM3(plane + col);                                                                        \
    }

SUMS(float)
SUMS(uint8_t)

/* Means and relative variances of the 3 x 3 squares of three ring rows. */
INLINE void square_moments(RefinedLee *s, const Band *band, int masked, const int box[3], int slot, int from, int to)
{
    float *restrict mean_row = s->mean[slot], *restrict relative = s->relative[slot];
    const uint8_t *const w[3] = {s->weight_box[box[0]], s->weight_box[box[1]], s->weight_box[box[2]]};
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float count = masked ? (float)(w[0][col] + w[1][col] + w[2][col]) : 9.0f;
        float scale = 1.0f / larger(count, 1.0f);
        float mean = sum3_rows(s->box[0], box, col) * scale;
        float variance = sum3_rows(s->box[1], box, col) * scale - mean * mean;
        float ratio = larger(variance, 0.0f) / larger(mean * mean, TINY);
        mean_row[col] = mean;
        relative[col] = count < 5.0f ? band->inverse_looks : ratio;
    }
}

typedef struct { float low, middle, high; } Sorted;

INLINE Sorted sort_three(float a, float b, float c)
{
    float low = smaller(a, b), high = larger(a, b);
    return (Sorted){smaller(low, c), larger(low, smaller(high, c)), larger(high, c)};
}

/* The sum of the five smallest of nine values in sorted columns; see _sum_of_five_smallest. */
INLINE float five_smallest(Sorted x, Sorted y, Sorted z)
{
    Sorted middles = sort_three(x.middle, y.middle, z.middle);
    float max_low = larger(larger(x.low, y.low), z.low);
    float min_high = smaller(smaller(x.high, y.high), z.high);
    float left_out = larger(larger(max_low, middles.middle), min_high);
    return x.low + y.low + z.low + middles.low + middles.middle + min_high - left_out;
}

INLINE void refined_lee_row(RefinedLee *s, int masked, int first_mean, int center_row, int from, int to)
{
    static const int opposite[4][2][2] = {
        {{0, -2}, {0, 2}}, {{-2, 0}, {2, 0}}, {{-2, -2}, {2, 2}}, {{-2, 2}, {2, -2}}};
    const float *mean[5], *relative[5];
    for (int row = 0; row < 5; row++) {
        mean[row] = s->mean[(first_mean + row) % 5];
        relative[row] = s->relative[(first_mean + row) % 5];
    }
    const float *restrict pixels = s->run[0][center_row][0] + RADIUS;
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float center = mean[2][col + 2], steepest = -1.0f, sum = 0.0f, squares = 0.0f, count = 28.0f;
        for (int d = 0; d < 4; d++) {
            const int *p = opposite[d][0], *q = opposite[d][1];
            float one = mean[2 + p[0]][col + 2 + p[1]], other = mean[2 + q[0]][col + 2 + q[1]];
            float gradient = fabsf(one - other);
            int nearer = fabsf(one - center) <= fabsf(other - center);
            float half_sum = nearer ? s->half[0][2 * d][col] : s->half[0][2 * d + 1][col];
            float half_squares = nearer ? s->half[1][2 * d][col] : s->half[1][2 * d + 1][col];
            int steeper = gradient > steepest;
            sum = steeper ? half_sum : sum;
            squares = steeper ? half_squares : squares;
            if (masked) {
                float half_count = (float)(nearer ? s->count[2 * d][col] : s->count[2 * d + 1][col]);
                count = steeper ? half_count : count;
            }
            steepest = larger(steepest, gradient);
        }
        float scale = 1.0f / larger(count, 1.0f);
        float local_mean = sum * scale;
        float variance = larger(squares * scale - local_mean * local_mean, 0.0f);
        float speckle = five_smallest(sort_three(relative[0][col], relative[2][col], relative[4][col]),
                                      sort_three(relative[0][col + 2], relative[2][col + 2], relative[4][col + 2]),
                                      sort_three(relative[0][col + 4], relative[2][col + 4], relative[4][col + 4])) /
                        5.0f;
        float gain = (variance - local_mean * local_mean * speckle) / ((1.0f + speckle) * larger(variance, TINY));
        s->filtered[col] = local_mean + larger(gain, 0.0f) * (pixels[col] - local_mean);
    }
}

INLINE void refined_lee_strip(const Band *band, RefinedLee *s, int masked, Py_ssize_t left, int width)
{
    for (Py_ssize_t row = 0; row < band->rows + 2 * RADIUS; row++) {
        const int slot = (int)(row % SIDE);
        load_power(band, row - RADIUS, left, width, s->power, s->square);
        row_sums_float(s->power, width, s->run[0][slot], s->box[0][row % 3]);
        row_sums_float(s->square, width, s->run[1][slot], s->box[1][row % 3]);
        if (masked) {
            s->invalid[slot] = load_weights(band, row - RADIUS, left, width, s->weight);
            row_sums_uint8_t(s->weight, width, s->weight_run[slot], s->weight_box[row % 3]);
        }
        if (row < 2)
            continue;
        const int box[3] = {(int)((row - 2) % 3), (int)((row - 1) % 3), (int)(row % 3)};
        const uint32_t squares = masked ? masked_blocks(s->invalid, slot, 3) : 0;
        if (!squares)
            square_moments(s, band, 0, box, (int)((row - 2) % 5), 0, width + 4);
        for (int from = 0, to; squares && from < width + 4; from = to) {
            to = run_end(squares, from, width + 4);
            if (squares >> from / BLOCK & 1)
                square_moments(s, band, 1, box, (int)((row - 2) % 5), from, to);
            else
                square_moments(s, band, 0, box, (int)((row - 2) % 5), from, to);
        }
        if (row < 2 * RADIUS)
            continue;
        const int top = (int)((row - 2 * RADIUS) % SIDE), center = (top + RADIUS) % SIDE;
        const int first_mean = (int)((row - 2 * RADIUS) % 5);
        half_sums_float(s->run[0], top, 0, width, s->half[0]);
        half_sums_float(s->run[1], top, 0, width, s->half[1]);
        const uint32_t windows = masked ? masked_blocks(s->invalid, slot, SIDE) : 0;
        if (!windows)
            refined_lee_row(s, 0, first_mean, center, 0, width);
        for (int from = 0, to; windows && from < width; from = to) {
            to = run_end(windows, from, width);
            if (windows >> from / BLOCK & 1) {
                half_sums_uint8_t(s->weight_run, top, from, to, s->count);
                refined_lee_row(s, 1, first_mean, center, from, to);
            } else
                refined_lee_row(s, 0, first_mean, center, from, to);
        }
        store_row(band, row - 2 * RADIUS, left, width, s->filtered);
    }
}

MULTIVERSION static void refined_lee(const Band *band, void *state, Py_ssize_t left, int width)
{
    if (band->valid)
        refined_lee_strip(band, state, 1, left, width);
    else
        refined_lee_strip(band, state, 0, left, width);
}

/* ---- Lee, Frost and gamma MAP: from mean and variance of 7 x 7 pixels ---- */

typedef struct {
    float power[SIDE][PAD], square[PAD];
    float line[2][SIDE][STRIP];         /* plane, ring row: sums of 7 neighbors */
    float mean[STRIP], variance[STRIP], filtered[STRIP];
    float decay[STRIP], total_weight[STRIP];    /* of frost */
    uint8_t weight[SIDE][PAD];          /* ring row: 1 for a valid pixel */
    uint8_t count[SIDE][STRIP];         /* ring row: number of valid pixels among 7 neighbors */
    uint32_t invalid[SIDE];             /* ring row: bit b if one of the columns of block b is invalid */
} Window;

typedef void (*RowFilter)(const Band *band, Window *s, int masked, const int ring[SIDE], int from, int to);

INLINE void window_moments(Window *s, int masked, const int ring[SIDE], int from, int to)
{
    const float *line[2][SIDE];
    const uint8_t *counts[SIDE];
    for (int row = 0; row < SIDE; row++) {
        line[0][row] = s->line[0][ring[row]];
        line[1][row] = s->line[1][ring[row]];
        counts[row] = s->count[ring[row]];
    }
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float count = masked ? (float)SUM7_OF(counts, col) : 49.0f;
        float scale = 1.0f / larger(count, 1.0f);
        float mean = SUM7_OF(line[0], col) * scale;
        s->mean[col] = mean;
        s->variance[col] = larger(SUM7_OF(line[1], col) * scale - mean * mean, 0.0f);
    }
}

INLINE void lee_row(const Band *band, Window *s, int masked, const int ring[SIDE], int from, int to)
{
    const float *restrict pixels = s->power[ring[RADIUS]] + RADIUS;
    (void)masked;
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float mean = s->mean[col];
        float weight = 1.0f - mean * mean / (larger(s->variance[col], TINY) * band->looks);
        s->filtered[col] = mean + larger(weight, 0.0f) * (pixels[col] - mean);
    }
}

INLINE void gamma_map_row(const Band *band, Window *s, int masked, const int ring[SIDE], int from, int to)
{
    const float *restrict pixels = s->power[ring[RADIUS]] + RADIUS;
    const float looks = band->looks, speckle = band->inverse_looks, above = band->looks_plus_one;
    (void)masked;
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float mean = s->mean[col], pixel = pixels[col];
        float relative = s->variance[col] / larger(mean * mean, TINY);
        float a = (1.0f + speckle) / larger(relative - speckle, 1e-6f);
        float b = a - above;
        float root = sqrtf((mean * b) * (mean * b) + 4.0f * a * looks * mean * pixel);
        float most_likely = (b * mean + root) / (2.0f * a);
        float textured = relative >= 2.0f * speckle ? pixel : most_likely;
        s->filtered[col] = relative <= speckle ? mean : textured;
    }
}

/* e^x for x <= 0; the twin of _exp in speckle.py, with the coefficients of Cephes' expf. */
INLINE float exp_negative(float x)
{
    x = larger(x, -87.0f);
    float n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;  /* rounded to an integer */
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 0.5f;
    p = (p * (r * r) + r) + 1.0f;
    union { int32_t bits; float value; } power_of_two = {((int32_t)n + 127) * (1 << 23)};
    return p * power_of_two.value;
}

/* sum_at: sum of the pixels at (±row, ±col) and (±col, ±row) in row-major order, with 0 <= row <= col. */
#define SUM_AT(type, sum)                                                                                              \
    INLINE sum sum_at_##type(const type *const plane[SIDE], int row, int col, int at)                                  \
    {                                                                                                                  \
        const type *const *p = plane + RADIUS;                                                                         \
        const int c = RADIUS + at;                                                                                     \
        if (row == col)                                                                                                \
            return p[-col][c - col] + p[-col][c + col] + p[col][c - col] + p[col][c + col];                            \
        if (!row)                                                                                                      \
            return p[-col][c] + p[0][c - col] + p[0][c + col] + p[col][c];                                             \
        return p[-col][c - row] + p[-col][c + row] + p[-row][c - col] + p[-row][c + col] + p[row][c - col] +           \
               p[row][c + col] + p[col][c - row] + p[col][c + row];                                                    \
    }

SUM_AT(float, float)
SUM_AT(uint8_t, int)

/* Add the pixels of one group of offsets at the same distance, and their weights. */
INLINE void add_group(Window *s, int masked, const float *const power[SIDE], const uint8_t *const weights[SIDE], int row,
                      int across, float count, int from, int to)
{
    const float distance = (float)sqrt(row * row + across * across);
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float weight = exp_negative(s->decay[col] * distance);
        s->filtered[col] += weight * sum_at_float(power, row, across, col);
        s->total_weight[col] += weight * (masked ? (float)sum_at_uint8_t(weights, row, across, col) : count);
    }
}

INLINE void frost_row(const Band *band, Window *s, int masked, const int ring[SIDE], int from, int to)
{
    const float *power[SIDE];
    const uint8_t *weights[SIDE];
    (void)band;
    for (int row = 0; row < SIDE; row++) {
        power[row] = s->power[ring[row]];
        weights[row] = s->weight[ring[row]];
    }
    INDEPENDENT
    for (int col = from; col < to; col++) {
        float mean = s->mean[col];
        s->decay[col] = -FROST_DAMPING * s->variance[col] / larger(mean * mean, TINY);
        s->filtered[col] = power[RADIUS][RADIUS + col];
        s->total_weight[col] = 1.0f;
    }
    /* In the order of _OFFSETS_BY_SQUARED_DISTANCE. */
    add_group(s, masked, power, weights, 3, 3, 4, from, to);
    add_group(s, masked, power, weights, 2, 3, 8, from, to);
    add_group(s, masked, power, weights, 1, 3, 8, from, to);
    add_group(s, masked, power, weights, 0, 3, 4, from, to);
    add_group(s, masked, power, weights, 2, 2, 4, from, to);
    add_group(s, masked, power, weights, 1, 2, 8, from, to);
    add_group(s, masked, power, weights, 0, 2, 4, from, to);
    add_group(s, masked, power, weights, 1, 1, 4, from, to);
    add_group(s, masked, power, weights, 0, 1, 4, from, to);
    INDEPENDENT
    for (int col = from; col < to; col++)
        s->filtered[col] /= s->total_weight[col];
}

INLINE void window_strip(const Band *band, Window *s, int masked, Py_ssize_t left, int width, RowFilter filter)
{
    for (Py_ssize_t row = 0; row < band->rows + 2 * RADIUS; row++) {
        const int slot = (int)(row % SIDE);
        load_power(band, row - RADIUS, left, width, s->power[slot], s->square);
        INDEPENDENT
        for (int col = 0; col < width; col++) {
            s->line[0][slot][col] = SUM7(s->power[slot] + col);
            s->line[1][slot][col] = SUM7(s->square + col);
        }
        if (masked) {
            s->invalid[slot] = load_weights(band, row - RADIUS, left, width, s->weight[slot]);
            INDEPENDENT
            for (int col = 0; col < width; col++)
                s->count[slot][col] = (uint8_t)SUM7(s->weight[slot] + col);
        }
        if (row < 2 * RADIUS)
            continue;
        int ring[SIDE];
        for (int i = 0; i < SIDE; i++)
            ring[i] = (int)((row - 2 * RADIUS + i) % SIDE);
        const uint32_t windows = masked ? masked_blocks(s->invalid, slot, SIDE) : 0;
        for (int from = 0, to; from < width; from = to) {
            to = run_end(windows, from, width);
            if (windows >> from / BLOCK & 1) {
                window_moments(s, 1, ring, from, to);
                filter(band, s, 1, ring, from, to);
            } else {
                window_moments(s, 0, ring, from, to);
                filter(band, s, 0, ring, from, to);
            }
        }
        store_row(band, row - 2 * RADIUS, left, width, s->filtered);
    }
}

#define WINDOW_FILTER(name, row_filter)                                                                \
    MULTIVERSION static void name(const Band *band, void *state, Py_ssize_t left, int width)           \
    {                                                                                                  \
        if (band->valid)                                                                               \
            window_strip(band, state, 1, left, width, row_filter);                                     \
        else                                                                                           \
            window_strip(band, state, 0, left, width, row_filter);                                     \
    }

WINDOW_FILTER(lee, lee_row)
WINDOW_FILTER(gamma_map, gamma_map_row)
WINDOW_FILTER(frost, frost_row)

/* ---- Equivalent number of looks ---- */

#define BLOCKS 64               /* blocks of 7 x 7 pixels that are computed together */

/* The relative variances of `count` blocks of 7 x 7 pixels from row `top` and column `left`. */
INLINE void block_variances(const Band *band, Py_ssize_t top, Py_ssize_t left, int count, double *out)
{
    double power[BLOCKS * SIDE], square[BLOCKS * SIDE], sum[BLOCKS] = {0}, squares[BLOCKS] = {0};
    int valid[BLOCKS];
    for (int block = 0; block < count; block++)
        valid[block] = 1;
    for (Py_ssize_t row = top; row < top + SIDE; row++) {
        const Py_ssize_t start = row * band->cols + left;
        INDEPENDENT
        for (int col = 0; col < count * SIDE; col++) {
            power[col] = (double)larger(band->power[start + col] / band->mean, 0.0f);
            square[col] = power[col] * power[col];
        }
        for (int block = 0; block < count; block++) {
            const double *p = power + block * SIDE, *q = square + block * SIDE;
            sum[block] += p[0] + p[1] + p[2] + p[3] + p[4] + p[5] + p[6];
            squares[block] += q[0] + q[1] + q[2] + q[3] + q[4] + q[5] + q[6];
            if (band->valid && memchr(band->valid + start + block * SIDE, 0, SIDE))
                valid[block] = 0;
        }
    }
    for (int block = 0; block < count; block++) {
        const double mean = sum[block] / 49, variance = (squares[block] - sum[block] * mean) / 48, floor = mean * mean;
        out[block] = valid[block] ? (variance > 0 ? variance : 0) / (floor > 1e-30 ? floor : 1e-30) : -1;
    }
}

/* The relative variance of each block of 7 x 7 pixels, or -1 if a pixel of it is invalid; see estimate_enl. */
MULTIVERSION static void relative_variances(const Band *band, double *out)
{
    const Py_ssize_t across = band->cols / SIDE;
    for (Py_ssize_t top = 0; top + SIDE <= band->rows; top += SIDE)
        for (Py_ssize_t first = 0; first < across; first += BLOCKS) {
            const int count = (int)(across - first < BLOCKS ? across - first : BLOCKS);
            block_variances(band, top, first * SIDE, count, out);
            out += count;
        }
}

/* ---- Stretch ---- */

MULTIVERSION static void scale_to_8_bits(const float *band, uint8_t *out, Py_ssize_t size, float black, float factor)
{
    for (Py_ssize_t i = 0; i < size; i++) {
        float level = (band[i] - black) * factor + 0.5f;
        out[i] = (uint8_t)(int32_t)smaller(larger(level, 0.0f), 255.0f);
    }
}

#define GROUP 32

typedef struct {
    float low, high, *out;
    Py_ssize_t found, below, room;
} Between;

/* Copy the values of a group that are between low and high, and count the smaller ones. Return 0 if there may not be
   room. The first loop has no branch, so that the compiler can vectorize it. */
INLINE int group_between(Between *s, const float *values, int length)
{
    int inside = 0, below = 0;
    for (int i = 0; i < length; i++) {
        below += values[i] < s->low;
        inside += (values[i] >= s->low) & (values[i] <= s->high);
    }
    s->below += below;
    if (!inside)
        return 1;
    if (s->room - s->found < length)
        return 0;
    for (int i = 0; i < length; i++) {
        s->out[s->found] = values[i];
        s->found += (values[i] >= s->low) & (values[i] <= s->high);
    }
    return 1;
}

/* Copy the values between two others to `out`. Return 0 if `out` may not have room for all. */
MULTIVERSION static int values_between(const float *values, Py_ssize_t size, Between *state)
{
    Between s = *state;
    int fits = 1;
    Py_ssize_t start = 0;
    for (; fits && start + GROUP <= size; start += GROUP)
        fits = group_between(&s, values + start, GROUP);
    if (fits)
        fits = group_between(&s, values + start, (int)(size - start));
    *state = s;
    return fits;
}

/* ---- Python ---- */

static int get_buffer(PyObject *object, Py_buffer *view, Py_ssize_t item_size, int flags)
{
    if (PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    if (view->itemsize != item_size) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_TypeError, "an array has the wrong type");
        return -1;
    }
    return 0;
}

typedef void (*StripFilter)(const Band *band, void *state, Py_ssize_t left, int width);

typedef struct {
    Band band;
    Py_buffer power, valid, out;
} Arguments;

static void release(Arguments *arguments)
{
    PyBuffer_Release(&arguments->power);
    PyBuffer_Release(&arguments->valid);
    PyBuffer_Release(&arguments->out);
}

/* Parse (power, valid, out, rows, cols, mean, looks). `out` has items of `item_size` bytes, one for each square of
   `side` pixels. Call release() if the result is 0. */
static int parse_band(PyObject *args, Py_ssize_t item_size, Py_ssize_t side, Arguments *parsed)
{
    PyObject *power, *valid, *out;
    double mean, looks;
    Py_ssize_t rows, cols;
    memset(parsed, 0, sizeof *parsed);
    if (!PyArg_ParseTuple(args, "OOOnndd", &power, &valid, &out, &rows, &cols, &mean, &looks))
        return -1;
    if (get_buffer(power, &parsed->power, sizeof(float), PyBUF_SIMPLE) < 0 ||
        get_buffer(out, &parsed->out, item_size, PyBUF_WRITABLE) < 0 ||
        (valid != Py_None && get_buffer(valid, &parsed->valid, 1, PyBUF_SIMPLE) < 0)) {
        release(parsed);
        return -1;
    }
    if (rows < 1 || cols < 1 || cols > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(double) / rows ||
        parsed->power.len != rows * cols * (Py_ssize_t)sizeof(float) ||
        parsed->out.len != (rows / side) * (cols / side) * item_size ||
        (valid != Py_None && parsed->valid.len != rows * cols)) {
        release(parsed);
        PyErr_SetString(PyExc_ValueError, "the arrays differ in shape");
        return -1;
    }
    parsed->band = (Band){parsed->power.buf, parsed->valid.buf, parsed->out.buf, rows, cols, (float)mean,
                          (float)looks, (float)(looks + 1), (float)(1 / looks)};
    return 0;
}

typedef void (*StripFilter)(const Band *band, void *state, Py_ssize_t left, int width);

static PyObject *filter_band(PyObject *args, StripFilter filter, size_t state_bytes)
{
    Arguments parsed;
    if (parse_band(args, sizeof(float), 1, &parsed) < 0)
        return NULL;
    void *memory = PyMem_Malloc(state_bytes + CACHE_LINE);
    if (memory) {
        void *state = (void *)(((uintptr_t)memory + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
        const Py_ssize_t cols = parsed.band.cols;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t left = 0; left < cols; left += STRIP)
            filter(&parsed.band, state, left, (int)(cols - left < STRIP ? cols - left : STRIP));
        Py_END_ALLOW_THREADS
        PyMem_Free(memory);
    }
    release(&parsed);
    if (!memory)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_relative_variances(PyObject *self, PyObject *args)
{
    Arguments parsed;
    if (parse_band(args, sizeof(double), SIDE, &parsed) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    relative_variances(&parsed.band, parsed.out.buf);
    Py_END_ALLOW_THREADS
    release(&parsed);
    Py_RETURN_NONE;
}

static PyObject *py_refined_lee(PyObject *self, PyObject *args)
{
    return filter_band(args, refined_lee, sizeof(RefinedLee));
}

static PyObject *py_lee(PyObject *self, PyObject *args) { return filter_band(args, lee, sizeof(Window)); }

static PyObject *py_frost(PyObject *self, PyObject *args) { return filter_band(args, frost, sizeof(Window)); }

static PyObject *py_gamma_map(PyObject *self, PyObject *args) { return filter_band(args, gamma_map, sizeof(Window)); }

static PyObject *py_scale_to_8_bits(PyObject *self, PyObject *args)
{
    PyObject *band, *out;
    Py_buffer band_view, out_view;
    double black, factor;
    if (!PyArg_ParseTuple(args, "OOdd", &band, &out, &black, &factor))
        return NULL;
    if (get_buffer(band, &band_view, sizeof(float), PyBUF_SIMPLE) < 0)
        return NULL;
    if (get_buffer(out, &out_view, 1, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&band_view);
        return NULL;
    }
    const int fits = band_view.len == out_view.len * (Py_ssize_t)sizeof(float);
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        scale_to_8_bits(band_view.buf, out_view.buf, out_view.len, (float)black, (float)factor);
        Py_END_ALLOW_THREADS
    } else
        PyErr_SetString(PyExc_ValueError, "the arrays differ in shape");
    PyBuffer_Release(&band_view);
    PyBuffer_Release(&out_view);
    if (!fits)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_values_between(PyObject *self, PyObject *args)
{
    PyObject *values, *out;
    Py_buffer values_view, out_view;
    double low, high;
    int fits;
    if (!PyArg_ParseTuple(args, "OOdd", &values, &out, &low, &high))
        return NULL;
    if (get_buffer(values, &values_view, sizeof(float), PyBUF_SIMPLE) < 0)
        return NULL;
    if (get_buffer(out, &out_view, sizeof(float), PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&values_view);
        return NULL;
    }
    Between state = {(float)low, (float)high, out_view.buf, 0, 0, out_view.len / (Py_ssize_t)sizeof(float)};
    Py_BEGIN_ALLOW_THREADS
    fits = values_between(values_view.buf, values_view.len / (Py_ssize_t)sizeof(float), &state);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&values_view);
    PyBuffer_Release(&out_view);
    return Py_BuildValue("nn", state.below, fits ? state.found : (Py_ssize_t)-1);
}

static PyMethodDef methods[] = {
    {"refined_lee", py_refined_lee, METH_VARARGS, "Filter power, valid or None, into out of rows x cols."},
    {"lee", py_lee, METH_VARARGS, "Filter power, valid or None, into out of rows x cols."},
    {"frost", py_frost, METH_VARARGS, "Filter power, valid or None, into out of rows x cols."},
    {"gamma_map", py_gamma_map, METH_VARARGS, "Filter power, valid or None, into out of rows x cols."},
    {"relative_variances", py_relative_variances, METH_VARARGS, "Write one value for each 7 x 7 block into out."},
    {"scale_to_8_bits", py_scale_to_8_bits, METH_VARARGS, "Scale levels from black by a factor into 8 bits."},
    {"values_between", py_values_between, METH_VARARGS, "Copy values between two into out; count the smaller ones."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernels", "Native twins of the NumPy filters and the stretch.", 0, methods, slots,
    NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void);

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&module); }
