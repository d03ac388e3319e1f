/* argv as the program has it now. The kernel puts argc, argv, 0, envp, 0 and the auxiliary vector onto the new stack, in this
 * order, below the 16 bytes that AT_RANDOM points to (fs/binfmt_elf.c, create_elf_tables). */
#include "analyzer/base/limits.h"
#include "formats/image/core.h"

enum { BELOW_RANDOM = 4096, MAX_POINTERS = 1 << 20 };

/* The address of the vector: where memory equals the first entries of the note. */
static uint64_t find_auxv(const struct hr_core *c)
{
    const struct hr_image *img = c->img;
    size_t n = 4u * img->word;
    uint8_t here[32];
    if (c->auxv.n < n || img->auxv_random < BELOW_RANDOM)
        return 0;
    uint64_t top = img->auxv_random & ~(uint64_t)(img->word - 1);
    for (uint64_t at = top - n; at > top - BELOW_RANDOM; at -= img->word)
        if (hr_image_read(img, at, here, n) == n && !memcmp(here, c->auxv.p, n))
            return at;
    return 0;
}

/* Down from `at` over pointers to the 0 before them, or with `count` to the number of them; returns where that stands. */
static uint64_t walk_down(const struct hr_image *img, uint64_t at, bool count, uint64_t *n_ret)
{
    for (uint64_t n = 0; n < MAX_POINTERS; n++) {
        uint64_t v;
        at -= img->word;
        if (!hr_image_word(img, at, &v))
            return 0;
        if (count ? v == n && n : !v) {
            *n_ret = n;
            return at;
        }
    }
    return 0;
}

enum hr_status hr_core_args(struct hr_core *c)
{
    struct hr_image *img = c->img;
    char line[HR_MAX_STRING + 1];
    size_t used = 0;
    uint64_t at = find_auxv(c), n = 0, v;
    if (!at || !hr_image_word(img, at - img->word, &v) || v)
        return HR_OK;
    at = walk_down(img, at - img->word, false, &n); /* over envp to the 0 behind argv */
    at = at ? walk_down(img, at, true, &n) : 0;
    for (uint64_t i = 0; at && i < n && used + 2 < sizeof line; i++) {
        if (!hr_image_word(img, at + (i + 1) * img->word, &v) || !hr_image_cstr(img, v, line + used, sizeof line - used))
            return HR_OK;
        used += strlen(line + used);
        if (i + 1 < n && used + 1 < sizeof line)
            line[used++] = ' ';
    }
    return used ? hr_strs_add(img->strs, line, used, &img->args) : HR_OK;
}
